"""``rltune report`` and ``Run.report()``: the page, its JSON, the pictures and their CSV."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest
import simulated_runs
from conftest import Cli

import rltune
from rltune.callbacks.base import Callback, Callbacks, SweepEnded
from rltune.callbacks.report_writer import ReportWriter
from rltune.errors import BadInput, MachineError
from rltune.reports.write import RunReport
from rltune.runs.folder import RunFolder
from rltune.simulator import simulate
from rltune.simulator.run_folder import write_run

EARLIER = Path(__file__).parents[1] / "data/runs_0_1"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Copies of the runs of an earlier version, one of them killed."""
    return Path(shutil.copytree(EARLIER, tmp_path / "runs"))


def test_the_first_screen_answers_what_was_asked(runs: Path) -> None:
    path = rltune.load(runs / "finished").report()
    assert path == runs / "finished/report.html"
    text = path.read_text()
    assert "PPO on CartPole-v1: which settings give the highest mean return?" in text
    assert "t01 won but the task is not solved: 465.6 where the threshold is 475." in text
    assert "95 % interval [421.6, 500]" in text
    assert "<b>lr</b> 0.005363" in text
    assert "rltune ppo cartpole --scheduler pb2" in text  # the command that made it
    assert "gymnasium 1.2.2" in text
    assert len(text) < 8e6


def test_a_threshold_says_nothing_about_an_environment_with_arguments(runs: Path) -> None:
    request = runs / "finished/run.json"
    values = json.loads(request.read_text())
    request.write_text(json.dumps({**values, "env_args": {"sutton_barto_reward": True}}))
    text = rltune.load(runs / "finished").report().read_text()
    assert "t01 won." in text
    assert "the threshold is" not in text


def test_the_json_holds_what_the_page_shows(runs: Path) -> None:
    rltune.load(runs / "finished").report()
    content = json.loads((runs / "finished/report.json").read_text())
    assert content["score"]["value"] == "465.6"
    assert content["cost"]["env_steps"] == 38_263
    plots = {plot["name"]: plot for of in content["sections"] for plot in of["plots"]}
    assert {"best-so-far", "learning-curves", "lineage", "settings-paths"} <= plots.keys()
    assert len(plots["lineage"]["rows"][0]) == len(plots["lineage"]["columns"])


def test_a_killed_run_has_a_report_that_says_so(runs: Path) -> None:
    text = rltune.load(runs / "killed").report().read_text()
    assert "The run has not finished." in text
    assert "rltune resume " in text


def test_a_run_without_a_policy_has_no_winner_and_nothing_to_replay(runs: Path) -> None:
    path = runs / "finished/summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "best": None, "evaluation": None}))
    made = RunReport.of(runs / "finished").content
    assert made["verdict"].startswith("Nothing usable came out")
    assert [step["command"].split()[1] for step in made["next"]] == ["board"]
    assert made["schedule"] == made["facts"] == []


def test_a_winner_that_is_compared_with_nothing_has_a_reason(runs: Path, tmp_path: Path) -> None:
    of_functions = simulated_runs.search(tmp_path, trials=4).path
    alone = simulated_runs.search(tmp_path, "alone", trials=1, scheduler="fifo").path
    for run, reason in (
        (runs / "finished", "of an earlier version, which scored no policy but the winner's"),
        (runs / "killed", "Nothing is compared before the run has ended"),
        (of_functions, "nothing is played again to compare trials by"),
        (alone, "No other trial has reported"),
    ):
        (sentence,) = RunReport.of(run).content["sure"]
        assert reason in sentence


def test_failures_are_told_with_their_cause(tmp_path: Path) -> None:
    folder = simulated_runs.population(tmp_path)
    text = rltune.load(folder.path).report().read_text()
    assert "a simulated failure" in text
    assert "tried again" in text


def test_the_command_writes_report_pictures_and_tables(cli: Cli, runs: Path) -> None:
    words = ("runs/finished", "--plots", "plots", "--format", "png", "--json")
    done = cli("report", *words)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["report"] == "runs/finished/report.html"
    files = [runs.parent / name for name in answer["plots"]]
    assert {path.suffix for path in files} == {".png", ".csv"}
    assert all(path.read_bytes() for path in files)
    with (runs.parent / "plots/learning-curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    logged = [report for of in ("t00", "t01", "t02") for report in _progress(runs, of)]
    assert [float(row["value"]) for row in rows] == [r["episode_reward_mean"] for r in logged]


def _progress(runs: Path, trial: str) -> list[dict[str, float]]:
    path = runs / f"finished/trials/{trial}/progress.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "episode_reward_mean" in row]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("nowhere",), "nowhere is no run folder"),
        (("runs/finished", "nowhere"), "nowhere is no run folder"),
        (("runs/finished", "--output", "report.pdf"), "name a file that ends in .html"),
        (("runs/finished", "--output", "no/report.html"), "there is no folder no"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    words: tuple[str, ...], problem: str, cli: Cli, runs: Path
) -> None:
    done = cli("report", *words)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_named(runs: Path) -> None:
    (runs / "finished/report.html").mkdir()
    with pytest.raises(MachineError, match=r"report\.html cannot be written"):
        rltune.load(runs / "finished").report()


def test_a_report_that_fails_does_not_fail_the_run(
    runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder.open(runs / "finished")
    summary = folder.summary
    assert summary is not None
    callbacks = Callbacks(Callback(), [ReportWriter(folder)])
    callbacks.notify(SweepEnded(summary))
    assert (folder.path / "report.html").is_file()
    folder.write_text("decisions.jsonl", '{"kind": "exploit"')
    shutil.rmtree(folder.path / "trials")
    (folder.path / "report.html").unlink()
    (folder.path / "report.html").mkdir()
    callbacks.notify(SweepEnded(summary))
    assert "report.html cannot be written" in caplog.text


def test_pictures_of_any_names_are_drawn_and_none_replaces_another(tmp_path: Path) -> None:
    names = ["a b", "a-b", "$x_1$", "学习率", "<i>"]
    sweep = simulate(
        lambda settings, steps: sum(settings[name] for name in names),
        {name: {"uniform": [0, 1]} for name in names},
        scheduler="fifo",
        trials=5,
        steps=1_000,
    )
    made = RunReport.of(write_run(sweep, tmp_path / "run").path)
    paths = made.write_plots(tmp_path / "plots", ".svg")
    assert len(set(paths)) == len(paths) == len([*(tmp_path / "plots").iterdir()])
    slices = {path.read_text() for path in paths if path.name.startswith("slices")}
    assert len(slices) == 1 + len(names)  # and the table
    assert any("Slices: $x_1$" in text for text in slices)


@pytest.mark.parametrize("missing", ["matplotlib", "optuna"])
def test_what_is_not_installed_is_named_with_its_command(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None in sys.modules is what Python itself takes for "not there"."""
    folder = simulated_runs.search(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    made = RunReport.of(folder.path)
    if missing == "optuna":
        assert "pip install &#34;rltune[optuna]&#34;" in made.write(tmp_path / "a.html").read_text()
        return
    with pytest.raises(BadInput, match=r"pip install 'rltune\[plots\]'"):
        made.write_plots(tmp_path / "plots", ".svg")
