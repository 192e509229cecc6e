"""``rltune tune`` and ``rltune.tune``: docs/functions.md as it is written, and what goes wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Cli, environment

import rltune
from rltune.cli import main
from rltune.runs import checkpoints

PAGE = (ROOT / "docs/functions.md").read_text()
#: The page's files, by name, and its commands.
FILES = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
FUNCTION, ASHA, ALGORITHM = re.findall(r"```sh\nrltune (.*)\n```", PAGE)

SCRIPT = """\
import rltune
from ray import tune

def train(config):
    state = rltune.get_checkpoint() or {"epoch": 0, "height": 0.0}
    for epoch in range(state["epoch"], 5):
        state = {"epoch": epoch + 1, "height": state["height"] + config["net"]["rate"]}
        rltune.report({"height": state["height"]}, checkpoint=state)

space = {"net": {"rate": tune.uniform(0.1, 1.0), "depth": 3}}
found = rltune.tune(
    train, space, metric="height", trials=2, concurrent=1, name="script", settings={"more": [1]}
)
print(found.best["score"], len(found.trials), found.folder.spec.settings["more"])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, and then its runs."""
    folder = tmp_path_factory.mktemp("tuned")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


Run = Callable[..., "Done"]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def rltune_here(
    place: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command in this process, whose Ray it uses."""

    def run(*words: str) -> Done:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["rltune", *words])
        try:
            main([*words])
        except SystemExit as ended:
            code = ended.code
        return Done(code, *capsys.readouterr())

    return run


def words_of(line: str) -> list[str]:
    """A line's words, as a shell splits them."""
    return [word.strip("'") for word in line.split()]


def summary_of(place: Path, name: str) -> dict[str, Any]:
    """What came out of a run."""
    summary: dict[str, Any] = json.loads((place / f"runs/{name}/summary.json").read_text())
    return summary


@pytest.mark.slow
def test_a_function_in_a_file_is_tuned(place: Path, rltune_here: Run) -> None:
    point = "{model={hidden=64}}"
    more = f"--name a --json --concurrent 1 --point {point}"
    done = rltune_here(*words_of(FUNCTION), *more.split())
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["stop_reason"] == "steps"
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 4
    assert [trial["env_steps"] for trial in summary["trials"]] == [10] * 4
    assert summary["trials"][0]["config"]["model/hidden"] == 64
    assert summary["best"]["config"].keys() == {"lr", "model/hidden"}
    assert 0.5 < summary["best"]["score"] <= 1
    assert (place / "runs/a/best/checkpoint/files/state.pt").is_file()
    assert "accuracy (max)" in done.err
    assert "rltune board runs/a" in done.err
    assert f"{summary['best']['trial']} won." in (place / "runs/a/report.html").read_text()


@pytest.mark.slow
def test_other_commands_know_the_run_or_refuse_it(place: Path, rltune_here: Run) -> None:
    (listed,) = json.loads(rltune_here("list", "runs", "--json").out)["runs"]
    assert listed["score"] == summary_of(place, "a")["best"]["score"]
    again = rltune_here("resume", "runs/a")
    assert again.code == 0
    assert "is finished" in again.out
    for words in (
        "evaluate runs/a",
        "play runs/a --video a.gif",
        "export runs/a --preset a.toml",
    ):
        refused = rltune_here(*words.split())
        assert refused.code == 2, refused.out
        assert "function" in refused.err


@pytest.mark.slow
def test_a_scheduler_ends_weak_trials_early(place: Path, rltune_here: Run) -> None:
    done = rltune_here(*words_of(ASHA), "--name", "asha", "--concurrent", "1", "--no-report")
    assert done.code == 0, done.err
    ages = [trial["env_steps"] for trial in summary_of(place, "asha")["trials"]]
    assert max(ages) == 9
    assert min(ages) < 9
    assert "loss (min)" in done.out
    assert not (place / "runs/asha/report.html").exists()


@pytest.mark.slow
def test_an_algorithm_of_rllibs_is_tuned(place: Path, rltune_here: Run) -> None:
    quick = (
        "num_steps_sampled_before_learning_starts=100",
        "min_sample_timesteps_per_iteration=250",
        "rollout_fragment_length=4",
    )
    more = [word for setting in quick for word in ("--set", setting)]
    population = "--scheduler pbt --quantile 0.5 --name dqn".split()
    done = rltune_here(*words_of(ALGORITHM), *more, *population)
    assert done.code == 0, done.err
    run = rltune.load(place / "runs/dqn")
    assert [trial["status"] for trial in run.trials] == ["TERMINATED"] * 2
    assert all(1_000 <= trial["env_steps"] < 1_300 for trial in run.trials)
    assert run.best["config"].keys() >= {"lr", "env"}
    assert run.best["score"] > 8
    rows = [row for trial in run.folder.trials() for row in run.folder.reports(trial)]
    assert any("learners/default_policy/total_loss" in row.metrics for row in rows)
    exploits = [decision for decision in run.folder.decisions() if decision.moved_weights]
    assert exploits
    assert all(exploit.effective == exploit.requested for exploit in exploits)
    checkpoint = run.path / run.best["checkpoint"]
    assert checkpoints.is_signed(checkpoint)
    assert not checkpoints.is_data(checkpoint)


@pytest.mark.slow
def test_a_failure_is_an_exit_code(place: Path, rltune_here: Run) -> None:
    (place / "broken.py").write_text("def train(config):\n    raise ValueError('no data')\n")
    words = "tune broken.py:train --space lr={log=[1e-2,1e-1]} --metric accuracy --trials 1"
    done = rltune_here(*words.split(), "--name", "c", "--max-failures", "0", "--quiet")
    assert done.code == 1
    assert done.out == ""
    assert "no trial left a checkpoint behind; t00: ValueError: no data (broken.py:2" in done.err


@pytest.mark.slow
def test_a_function_of_the_main_script_is_tuned(place: Path) -> None:
    (place / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    score, trials, more = done.stdout.split()
    assert 0.5 <= float(score) <= 5
    assert (trials, more) == ("2", "[1]")


def test_the_request_is_checked_before_anything_starts(cli: Cli, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bad.toml").write_text("lr = { log = [1e-4,")
    words = "tune my_train.py:train --metric accuracy --dry-run --json --space".split()
    done = cli(*words, "space.toml", "--space", "lr={uniform=[0,1]}", "--set", "model/depth=2")
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout)
    assert asked["space"] == {
        "model/hidden": {"choice": [16, 32, 64]},
        "lr": {"uniform": [0.0, 1.0]},
    }
    assert asked["settings"]["model/depth"] == 2
    assert not (tmp_path / "runs").exists()
    for bad, match in (
        ("nowhere.toml", "nowhere.toml: No such file"),
        ("bad.toml", "bad.toml: not TOML"),
        ("lr={logg=[1,2]}", "lr: expected exactly one kind"),
    ):
        done = cli(*words, bad)
        assert done.returncode == 2
        assert match in done.stderr
    done = cli(*words, "space.toml", "--scheduler", "asha")
    assert done.returncode == 2
    assert "give --steps, or --scheduler fifo" in done.stderr
    done = cli(*words, "space.toml", "--batch", "4")
    assert done.returncode == 2
    assert "rltune tune has no option --batch" in done.stderr, "nothing would train as one"
