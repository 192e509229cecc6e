"""Sweeps for several objectives, over real Ray."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import driving
import functions
import pytest
from rich.console import Console
from sweeps.killed import cut_of, start, told

from rltune.cli.outcome import outcome
from rltune.reports.optuna_export import trials_of
from rltune.request.former import note
from rltune.request.functions import function_spec
from rltune.spec import RunSpec

pytestmark = pytest.mark.slow
TRIALS = 16
#: The write of the state after which a sweep is killed: past the first ten, random trials.
CUT = 36


def _spec(storage: Path, address: str, name: str = "a", **options: Any) -> RunSpec:
    asked: dict[str, Any] = {
        "objective": "height,-load/weight",
        "trials": TRIALS,
        "steps": 2,
        "concurrent": 1,
        "max_failures": 0,
        "seed": 3,
        **options,
    }
    return function_spec(
        functions.trades, driving.SPACE, address=address, storage=storage, name=name, **asked
    )


@pytest.mark.parametrize("searcher", ["tpe", pytest.param("nsga2", marks=pytest.mark.by_hand)])
def test_a_front_survives_a_kill_and_grows(
    searcher: str, tmp_path: Path, cluster_address: str
) -> None:
    """With trials that fail and trials whose objective is not a number."""
    folder = start(_spec(tmp_path, cluster_address, searcher=searcher), cut=CUT)
    summary = folder.summary
    assert summary is not None
    assert {trial.status for trial in summary.trials} == {"TERMINATED", "ERROR", "DIVERGED"}
    whole = {t.id: t.objectives for t in summary.trials if t.status == "TERMINATED"}
    pairs = {name: (of["height"], -(of["load/weight"] or 0)) for name, of in whole.items()}
    beaten = {
        name
        for name, own in pairs.items()
        for other in pairs.values()
        if other != own and all(a >= b for a, b in zip(other, own, strict=True))
    }
    assert summary.front is not None
    assert [point.trial for point in summary.front] == sorted(
        [name for name in pairs if name not in beaten], key=lambda name: pairs[name], reverse=True
    )
    assert summary.best is not None
    assert summary.best.trial == summary.front[0].trial
    screen = io.StringIO()
    Console(file=screen, width=200).print(outcome(folder.spec, folder.job, summary))
    assert f"Pareto front: {len(summary.front)} of {len(pairs)} trials" in screen.getvalue()
    exported = [trial.values for trial in trials_of(folder, summary) if trial.values]
    assert [tuple(of) for of in exported] == [(a, -b) for a, b in pairs.values()]
    assert told(cut_of(folder)) == told(folder)
    again = start(_spec(tmp_path, cluster_address), trials=TRIALS + 1)
    assert again.summary is not None
    assert again.summary.front is not None
    assert len(again.summary.trials) == TRIALS + 1
    later = _spec(tmp_path, cluster_address, "b", former=[folder.path], trials=2)
    assert note(later) is None
    assert all(len(t.further) == 1 for t in later.former if t.status == "ended")


def test_an_objective_that_no_trial_reports_ends_the_sweep(
    tmp_path: Path, cluster_address: str
) -> None:
    folder = start(_spec(tmp_path, cluster_address, objective="height,-weight"), fails=True)
    assert folder.summary is None
    assert len(folder.trials()) == 1
