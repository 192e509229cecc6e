"""Run folders of an earlier version stay readable: two are kept in tests/data/runs_0_1.

Both were made by commit 0110cec (rltune 0.1.0, before its modules moved) in a neutral folder, by
the command that is in their run.json, and are kept as they were left. "finished" ended by itself.
The process of "killed" was ended by SIGKILL while a trial trained, after two exploits; what Tune
and a trial's process leave behind in that case is part of it. They are signed with a key that is
nobody's, so they are a stranger's as well.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from warm import run_rltune

import rltune

DATA = Path(__file__).parents[1] / "data" / "runs_0_1"
TRIALS = ["t00", "t01", "t02"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with copies of both runs in ``runs``, as if rltune had been called in it."""
    shutil.copytree(DATA, tmp_path / "runs")
    return tmp_path


def ask(here: Path, *words: str) -> Any:
    """Runs a command with ``--json`` to its end and returns what it answers."""
    done = run_rltune(here, *words, "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def summary_of(run: Path) -> dict[str, Any]:
    """summary.json of a run, read as plain JSON."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return summary


def rows_of(run: Path, trial: str, name: str = "progress.jsonl") -> list[dict[str, Any]]:
    """The rows that a run holds of a trial, read as plain JSON."""
    path = run / "trials" / trial / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_earlier_runs_are_listed(here: Path) -> None:
    finished, killed = ask(here, "list", "runs", "--storage", "runs")["runs"]
    summary = summary_of(here / "runs/finished")
    assert finished["run"] == "runs/finished"
    assert finished["score"] == summary["evaluation"]["mean"]
    assert finished["env_steps"] == summary["env_steps"]
    assert finished["ended by"] == "steps"
    assert killed["run"] == "runs/killed"
    assert killed["score"] is None
    assert killed["ended by"] == "not finished"


def test_an_earlier_policy_scores_what_it_scored(here: Path) -> None:
    assert (
        ask(here, "evaluate", "runs/finished") == summary_of(here / "runs/finished")["evaluation"]
    )


def test_the_best_policy_of_an_earlier_killed_run_is_scored(here: Path) -> None:
    score = ask(here, "evaluate", "runs/killed", "--episodes", "2")
    assert score["episodes"] == len(score["returns"]) == 2


def test_an_earlier_preset_is_shown(here: Path) -> None:
    shown = ask(here, "show", "ppo", "cartpole", "--preset", "runs/finished/best/preset.toml")
    best = summary_of(here / "runs/finished")["best"]["config"]
    assert shown["settings"].items() <= best.items()
    assert shown["budget"]["scheduler"] == "pb2"
    assert set(shown["space"]) == {"lr", "gamma", "clip_param"}


def test_earlier_settings_are_exported(here: Path) -> None:
    done = run_rltune(here, "export", "runs/finished", "--preset", "best.toml")
    assert done.returncode == 0, done.stderr
    kept = (here / "runs/finished/best/preset.toml").read_text()
    assert tomllib.loads((here / "best.toml").read_text()) == tomllib.loads(kept)


def test_an_earlier_schedule_is_read_from_its_decisions(here: Path) -> None:
    lines = (here / "runs/finished/decisions.jsonl").read_text().splitlines()
    exploits = [one for one in map(json.loads, lines) if one["kind"] == "exploit"]
    printed = json.dumps(ask(here, "replay", "runs/finished", "--dry-run"))
    shown = [json.dumps(one["effective"]) in printed for one in exploits]
    assert shown == [True, True, False], "the best policy comes from the first two"


def test_an_earlier_run_is_loaded_in_python(here: Path) -> None:
    run = rltune.load(here / "runs/finished")
    summary = summary_of(run.path)
    assert run.best["trial"] == summary["best"]["trial"]
    assert run.best["score"] == summary["best"]["score"]
    assert run.best["config"]["lr"] == summary["best"]["config"]["lr"]
    assert [trial["id"] for trial in run.trials] == TRIALS
    assert all(trial["status"] == "TERMINATED" for trial in run.trials)
    killed = rltune.load(here / "runs/killed")
    assert killed.best == {}
    assert killed.trials == []


def test_an_earlier_finished_run_has_nothing_left_to_do(here: Path) -> None:
    done = run_rltune(here, "resume", "runs/finished")
    assert done.returncode == 0, done.stderr
    assert "nothing is left to do" in done.stdout


@pytest.mark.slow
def test_an_earlier_killed_run_is_resumed_to_its_end(here: Path) -> None:
    run = here / "runs/killed"
    steps = json.loads((run / "run.json").read_text())["budget"]["steps"]
    decided = (run / "decisions.jsonl").read_text().splitlines()
    before = {trial: rows_of(run, trial) for trial in TRIALS}
    summary = ask(here, "resume", "runs/killed")
    assert summary == summary_of(run)
    assert summary["stop_reason"] == "steps"
    assert [trial["id"] for trial in summary["trials"]] == TRIALS
    assert all(trial["status"] == "TERMINATED" for trial in summary["trials"])
    assert all(trial["env_steps"] >= steps for trial in summary["trials"])
    decisions = (run / "decisions.jsonl").read_text().splitlines()
    assert decisions[: len(decided)] == decided
    assert len(decisions) > len(decided)
    spent = 0
    for trial in TRIALS:
        rows, lost = rows_of(run, trial), rows_of(run, trial, "discarded.jsonl")
        kept = len(before[trial]) - len(lost)
        assert [*rows[:kept], *lost] == before[trial], "every report of before is there, once"
        spent += sum(row["env_steps_this_iter"] for row in [*rows, *lost])
        events = EventAccumulator(str(run / "trials" / trial))
        events.Reload()
        drawn = [point.step for point in events.Scalars("hyperparameters/lr")]
        assert drawn == [row["env_steps"] for row in rows], "one curve, no step twice"
    assert summary["env_steps"] == spent
