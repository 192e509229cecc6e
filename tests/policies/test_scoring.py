"""Scoring is as robust as training: what goes wrong is tried again, and what is lost is said."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import faulty
import numpy as np
import pytest
from trained import concluded, trained
from warm import run_rltune

from rltune.errors import EnvironmentExit, EnvironmentFailed, NothingUsable
from rltune.options import EnvOptions
from rltune.policies import evaluation, video
from rltune.policies.episodes import Lost, play
from rltune.policies.evaluation import best_policy, evaluate, evaluation_seeds
from rltune.request.trust import adopt
from rltune.runs.folder import RunFolder, is_finished
from rltune.runs.records import Report
from rltune.sweeps.runner import resume

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of one trial with one checkpoint."""
    folder = trained(tmp_path_factory.mktemp("runs"), "ppo", "faulty:Score", num_epochs=1)
    folder.append_report(Report("t00", 1, 500, 500, 1.0, 10.0, {}))
    return folder


@pytest.fixture
def run(policy: RunFolder, tmp_path: Path) -> Any:
    """Makes copies of the run whose environment goes wrong, and whose requests differ."""

    def make(what: str, changes: dict[str, Any] | None = None, **env_args: Any) -> RunFolder:
        place = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        shutil.copytree(policy.path, place)
        folder = RunFolder(place)
        ask(
            folder,
            **{"env_args": {"what": what, **env_args}, "env_timeout": 2.0, **(changes or {})},
        )
        return folder

    return make


def ask(folder: RunFolder, **changes: Any) -> None:
    """Changes a run's request."""
    path = folder.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    adopt(folder)


def done(folder: RunFolder) -> dict[str, Any]:
    """The summary of a run's end."""
    concluded(folder, "t00")
    return folder.summary_contents


@pytest.mark.fault(75)
@pytest.mark.parametrize("what", ["raises", "hangs", "crashes", "exits"])
def test_a_single_failure_is_retried(run: Any, tmp_path: Path, what: str) -> None:
    (tmp_path / "seeds").mkdir()
    result = evaluate(run(what, once=str(tmp_path / "seeds"), when=25), 30)
    assert len(list((tmp_path / "seeds").iterdir())) > 0, "it did go wrong"
    assert result.returns == [10.0] * 30
    assert result.unscored == []


@pytest.mark.fault(75)
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("raises", "RuntimeError: the licence has expired in step ("),
        ("exits", "SystemExit: 3 raised in step ("),
        ("crashes", "Crashed: Segmentation fault (in string_at, "),
    ],
)
def test_an_episode_that_always_fails_is_lost_alone(run: Any, what: str, error: str) -> None:
    seeds = evaluation_seeds(0, 40)
    wrong = [seed for seed in seeds if seed % 25 == 0]
    assert 0 < len(wrong) < 5
    result = evaluate(run(what, {"max_failures": 5}, when=25), 40)
    lost = [seed for body in result.unscored for seed in body["seeds"]]
    assert sorted(lost) == sorted(wrong)
    assert result.unscored[0]["error"].startswith(error)
    assert faulty.__file__ in result.unscored[0]["error"]
    assert result.seeds == [seed for seed in seeds if seed not in wrong]
    assert (result.episodes, result.mean) == (40 - len(wrong), 10.0)


@pytest.mark.fault(75)
def test_one_part_is_retried_where_nothing_can_be_scored(run: Any) -> None:
    folder = run("hangs")
    with pytest.raises(EnvironmentFailed) as failed:
        evaluate(folder, 100)
    assert "100 of 100 episodes of faulty:Score have no return" in str(failed.value)
    assert "EnvironmentHung: no answer for 2 s (in match, " in str(failed.value)


@pytest.mark.fault(75)
def test_an_unscored_sweep_keeps_its_policy_and_is_finished_later(run: Any, tmp_path: Path) -> None:
    folder = run("raises")
    summary = done(folder)
    assert summary["best"]["trial"] == "t00"
    assert summary["best"]["selection_score"] is None
    assert summary["evaluation"] is None
    (lost,) = summary["unscored"]
    assert (lost["phase"], lost["trial"], len(lost["seeds"])) == ("selection", "t00", 20)
    assert "the licence has expired" in lost["error"]
    assert not is_finished(folder)
    told = run_rltune(tmp_path, "resume", str(folder.path), "--json")
    assert told.returncode == 1
    said = " ".join(told.stderr.split())
    assert "while a policy was scored: RuntimeError: the licence has expired" in said
    assert f"What was trained is kept. Try again with: rltune resume {folder.path.name}" in said
    assert json.loads(told.stdout.splitlines()[-1])["evaluation"] is None
    ask(folder, env_args={})
    folder = RunFolder(folder.path)
    assert resume(folder).summary_contents["evaluation"]["mean"] == 10.0
    summary = folder.summary_contents
    assert summary["unscored"] == []
    assert (summary["env_steps"], summary["stop_reason"]) == (500, "steps")
    assert is_finished(folder)


@pytest.mark.fault(75)
def test_lost_episodes_of_a_score_are_reported(run: Any, tmp_path: Path) -> None:
    folder = run("raises", when=10, selection=False)
    summary = done(folder)
    lost = [seed for body in summary["unscored"] for seed in body["seeds"]]
    assert 0 < len(lost) < 30
    assert all(seed % 10 == 0 for seed in lost)
    assert {body["phase"] for body in summary["unscored"]} == {"evaluation"}
    assert summary["evaluation"]["episodes"] == 100 - len(lost)
    assert summary["evaluation"]["mean"] == 10.0
    told = run_rltune(tmp_path, "evaluate", str(folder.path))
    assert told.returncode == 1
    assert f"10.0 mean return, 95 % interval [10.0, 10.0], IQM 10.0, over {100 - len(lost)}" in (
        told.stdout
    )
    assert f"{len(lost)} of 100 episodes have no return" in told.stderr


@pytest.mark.fault(75)
def test_statistics_cover_the_seeds_that_could_be_scored(run: Any, tmp_path: Path) -> None:
    """Of three seeds, one's policy cannot be loaded, and one's episodes raise."""
    folder = run("raises", {"job": "train"}, seeds=evaluation_seeds(0, 100, trial=2))
    for trial in ("t01", "t02"):
        shutil.copytree(folder.path / "trials/t00", folder.path / "trials" / trial)
    (folder.path / "trials/t01/checkpoints/checkpoint_000000/policy.pt").write_bytes(b"")
    concluded(folder, *folder.trials())
    summary = folder.summary_contents
    assert summary["unscored_seeds"] == ["t01", "t02"]
    assert [seed["trial"] for seed in summary["seeds"]] == ["t00"]
    assert summary["across_seeds"]["seeds"] == 1
    assert summary["across_seeds"]["iqm"] == 10.0
    assert {(body["trial"], body["final"]) for body in summary["unscored"]} == {
        ("t01", True),
        ("t02", False),
    }
    told = run_rltune(tmp_path, "resume", str(folder.path))
    assert told.returncode == 1
    assert "over 1 seeds" in told.stdout
    assert "t01, t02, which no statistics here include" in told.stdout


@pytest.mark.fault(97)
@pytest.mark.filterwarnings("ignore:.*The reward is a NaN value")
@pytest.mark.parametrize("what", ["nan", "blind"])
def test_a_score_that_is_not_finite_is_not_a_score(run: Any, tmp_path: Path, what: str) -> None:
    folder = run(what, when=4)
    error = {"nan": "the reward is nan at step 1", "blind": "an observation is not finite after"}
    with pytest.raises(NothingUsable, match="no policy has a score, nor") as failed:
        done(folder)
    assert error[what] in str(failed.value)
    summary = folder.summary_contents
    assert summary["best"] is None
    assert summary["evaluation"] is None
    assert all(body["final"] for body in summary["unscored"])
    assert is_finished(folder), "another try would bring the same"
    with pytest.raises(EnvironmentFailed, match=error[what]):
        evaluate(folder, 30)
    told = run_rltune(tmp_path, "evaluate", str(folder.path), str(folder.path))
    assert told.returncode == 1
    assert error[what] in told.stderr
    assert "nan mean" not in told.stdout


@pytest.mark.fault(97)
def test_a_policy_whose_score_is_not_finite_is_passed_over(run: Any) -> None:
    folder = run("")
    first = folder.path / "trials/t00/checkpoints/checkpoint_000000"
    second = first.with_name("checkpoint_000001")
    shutil.copytree(first, second)
    seeds = evaluation.selection_seeds(0, 5)
    played: list[tuple[int, int]] = []
    heard = lambda done, of: played.append((done, of))  # noqa: E731
    good, bad = evaluation.score_checkpoints(folder, [first, second], seeds, heard)
    assert played == [(0, 10), (5, 10), (10, 10)]
    bad.played.returns.pop(seeds[0])
    bad.played.lost[seeds[0]] = Lost("the reward is nan", final=True)
    bad.played.returns[seeds[1]] = 1e9
    chosen = evaluation.choose(folder, [good, bad], evaluation_seeds(0, 5))
    assert chosen.candidate is good
    assert chosen.evaluation is not None
    assert [body.checkpoint for body in chosen.unscored] == [
        "trials/t00/checkpoints/checkpoint_000001"
    ]


@pytest.mark.fault(76)
def test_a_close_that_raises_is_logged_once_and_changes_nothing(run: Any, tmp_path: Path) -> None:
    folder = run("close")
    told = run_rltune(tmp_path, "evaluate", str(folder.path), "--episodes", "45")
    assert told.returncode == 0, told.stderr
    assert "over 45 episodes" in told.stdout
    warned = "rltune: environment faulty:Score: close() raised RuntimeError: it was never open"
    assert told.stderr.count("close() raised") == 1
    assert warned.removeprefix("rltune: environment faulty:") in told.stderr


@pytest.mark.fault(99)
def test_an_environment_cannot_end_the_process_that_shows_it(policy: RunFolder) -> None:
    env = faulty.Leaves("exit", at=3)
    with pytest.raises(EnvironmentExit, match=r"SystemExit: 3 raised in step \("):
        video._episode(env, best_policy(policy), 7, lambda: None)


@pytest.mark.fault(74)
def test_each_episode_has_its_own_copy_within_the_limit(tmp_path: Path, policy: RunFolder) -> None:
    class Right:
        frame_stack = 1
        form = "auto"

        def act(self, obs: np.ndarray) -> np.ndarray:
            return np.zeros(len(obs), dtype=np.int64)

    args = {"folder": str(tmp_path), "most": 3}
    spec = replace(policy.spec, env_id="faulty:Counted", env_options=EnvOptions(env_args=args))
    assert play(Right(), spec, evaluation_seeds(0, 10), copies=3) == [10.0] * 10
    assert len(re.findall("made", (tmp_path / "log").read_text())) == 10
    assert list(tmp_path.glob("*.copy")) == [], "all of them are closed"
    with pytest.raises(AssertionError):
        assert play(Right(), spec, evaluation_seeds(0, 10), copies=4) == [10.0] * 10
