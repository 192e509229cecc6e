"""A finished sweep that is extended: more trials, longer training, another target."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import functions
import pytest
from conftest import ROOT
from sweeps.killed import cut_of, start, told

from rltune.errors import BadInput
from rltune.options import UNTIL_RETURN
from rltune.request.functions import function_spec
from rltune.request.trust import adopt
from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.spec import JobSpec, RunSpec
from rltune.sweeps.extension import EARLIER_SUMMARY, extended, reopen


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheduler", [pytest.param("fifo", marks=pytest.mark.by_hand), "asha", "pbt"]
)
def test_an_extended_sweep_continues_with_all_it_knows(
    scheduler: str, tmp_path: Path, cluster_address: str
) -> None:
    budget = {"scheduler": scheduler, "trials": 3, "steps": 8, "perturb_every": 4}
    spec = function_spec(
        functions.climb,
        {"lr": {"log": [1e-5, 1e-2], "default": 1e-3}},
        metric="height",
        **{**budget, "searcher": "tpe", "concurrent": 1, "max_failures": 1},
        address=cluster_address,
        storage=tmp_path,
        name="a",
        seed=3,
    )
    first = start(spec)
    before = told(first)
    folder = start(spec, cut=5, trials=5, steps=12)
    after = told(folder)
    assert folder.trials() == ["t00", "t01", "t02", "t03", "t04"]
    for trial, rows in before["reports"].items():
        assert after["reports"][trial][: len(rows)] == rows, "nothing of before is lost"
    clocks = {name: [clock for clock, _, _ in rows] for name, rows in after["reports"].items()}
    stopped = {decision.trial for decision in folder.decisions() if decision.kind == "stop"}
    assert all(steps == list(range(1, len(steps) + 1)) for steps in clocks.values())
    assert {name for name, steps in clocks.items() if steps[-1] == 12} == {*clocks} - stopped
    assert after["decisions"][: len(before["decisions"])] == before["decisions"]
    assert folder.spec.budget.trials == 5
    assert [one.budget["steps"] for one in folder.spec.extensions] == [8]
    assert folder.has(EARLIER_SUMMARY)
    summary = folder.summary
    assert summary is not None
    assert summary.best is not None
    heights = [row.measured["height"] for t in folder.trials() for row in folder.reports(t)]
    assert summary.best.score == max(heights)
    assert told(cut_of(folder)) == after, "the same after a kill in the middle"


def _finishing(storage: Path, address: str, **options: Any) -> RunSpec:
    """A sweep of a function that returns, one trial at a time."""
    return function_spec(
        functions.finishes,
        {"lr": {"log": [1e-5, 1e-2]}},
        metric="height",
        concurrent=1,
        address=address,
        storage=storage,
        name="a",
        **options,
    )


@pytest.mark.slow
def test_a_function_that_is_done_is_done_again(tmp_path: Path, cluster_address: str) -> None:
    """Opened again for more steps, it returns without another report."""
    spec = _finishing(tmp_path, cluster_address, searcher="tpe", trials=2, steps=6)
    first = start(spec)
    folder = start(spec, steps=9, trials=3)
    summary = folder.summary
    assert summary is not None
    assert [trial.status for trial in summary.trials] == ["TERMINATED"] * 3
    assert [len(folder.reports(trial)) for trial in folder.trials()] == [6] * 3
    assert summary.trials[0].score == folder.reports("t00")[-1].measured["height"]
    history = told(folder)["parts"]["history"]["trials"]
    assert [past["status"] for past in history] == ["ended"] * 3
    assert folder.path == first.path


@pytest.mark.slow
def test_trials_that_a_target_kept_from_training_are_trained(
    tmp_path: Path, cluster_address: str
) -> None:
    """The others had not started when the first one reached the target."""
    spec = _finishing(tmp_path, cluster_address, target=0.0, trials=3)
    first = start(spec)
    assert first.summary is not None
    assert first.summary.stop_reason == "target"
    folder = start(spec, target=1.0)
    assert folder.summary is not None
    assert [trial.env_steps for trial in folder.summary.trials] == [6] * 3
    assert folder.summary.stop_reason == "steps"


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    """A finished sweep of pb2, of this user's own."""
    shutil.copytree(ROOT / "tests/data/runs_0_1/finished", tmp_path / "finished")
    folder = RunFolder.open(tmp_path / "finished")
    adopt(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, "nothing to extend by"),
        ({"trials": 3}, "trials: the run has 3 already"),
        ({"trials": 1}, "trials of the run are"),
        ({"steps": 10}, "steps of the run are"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"target": float("nan")}, "target must be a number"),
    ],
)
def test_an_extension_by_nothing_is_refused(
    finished: RunFolder, changes: dict[str, Any], problem: str
) -> None:
    before = {path: path.read_bytes() for path in finished.path.glob("*.json")}
    with pytest.raises(BadInput, match=problem):
        extended(finished, changes)
    assert {path: path.read_bytes() for path in finished.path.glob("*.json")} == before


def test_a_target_alone_trains_nothing_where_every_trial_has_ended(finished: RunFolder) -> None:
    summary = finished.summary_contents
    for reason, allowed in (("steps", False), ("target", True)):
        finished.write("summary.json", {**summary, "stop_reason": reason})
        folder = RunFolder(finished.path)
        if allowed:
            assert extended(folder, {"target": 1e6}).budget.target == 1e6
            continue
        with pytest.raises(BadInput, match="nothing is left to train"):
            extended(folder, {"target": 1e6})


@pytest.mark.parametrize(("limit", "now"), [("time_budget", 60.0), ("total_steps", 900)])
def test_a_limit_that_is_spent_is_raised_too(finished: RunFolder, limit: str, now: float) -> None:
    """The run would end at its first report."""
    budget = replace(finished.spec.budget, **{limit: now})  # type: ignore[arg-type]
    finished.change_request(replace(finished.spec, budget=budget))
    finished.write("summary.json", {**finished.summary_contents, "stop_reason": limit})
    folder, more = RunFolder(finished.path), {"trials": 99}
    with pytest.raises(BadInput, match=f"the run has spent its {limit} of .* give more of it"):
        extended(folder, more)
    assert extended(folder, {**more, limit: 2 * now}).budget.trials == 99


def test_a_run_without_a_limit_of_steps_has_none_to_add(finished: RunFolder) -> None:
    budget = replace(finished.spec.budget, steps=UNTIL_RETURN, scheduler="fifo")
    finished.change_request(replace(finished.spec, budget=budget))
    with pytest.raises(BadInput, match=r"^steps: the run has no limit of them, its trials end by"):
        extended(RunFolder(finished.path), {"steps": 10})


def test_runs_that_cannot_be_extended_are_refused(finished: RunFolder) -> None:
    more = {"trials": 99}
    budget = replace(finished.spec.budget, scheduler="fifo", searcher="grid")
    finished.change_request(replace(finished.spec, budget=budget))
    with pytest.raises(BadInput, match="searcher grid has planned all of the run"):
        extended(RunFolder(finished.path), more)
    folder = RunFolder(finished.path)
    folder.write("run.json", {**folder.spec.to_dict(), **JobSpec("train").to_dict()})
    with pytest.raises(BadInput, match="it is no sweep"):
        extended(RunFolder(finished.path), more)
    (finished.path / "summary.json").unlink()
    with pytest.raises(BadInput, match="is not finished: wait while it runs, or continue"):
        extended(RunFolder(finished.path), more)


def test_a_strangers_run_is_not_extended(finished: RunFolder) -> None:
    finished.write("run.json", {**finished.spec.to_dict(), **finished.job.to_dict()})
    with pytest.raises(BadInput, match="not signed by this user"):
        extended(RunFolder(finished.path), {"trials": 99})


def test_trials_that_ended_at_the_budget_are_opened_again(finished: RunFolder) -> None:
    steps = finished.spec.budget.steps
    longer = reopen(finished, extended(finished, {"steps": 2 * steps}))
    saved = state_file.read(longer.path)
    assert saved is not None
    assert {body["status"] for body in saved["trials"]} == {"PAUSED"}
    assert longer.summary is None
    assert longer.spec.budget.steps == 2 * steps
    assert longer.spec.extensions[0].budget["steps"] == steps


def test_more_trials_open_none_again(finished: RunFolder) -> None:
    wider = reopen(finished, extended(finished, {"trials": 9}))
    saved = state_file.read(wider.path)
    assert saved is not None
    assert {body["status"] for body in saved["trials"]} == {"TERMINATED"}
