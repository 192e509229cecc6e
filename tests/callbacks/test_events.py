"""Every event of real sweeps reaches callbacks that are made in Python and those that are named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import functions
import pytest
from rltune.envs import places

import rltune
from rltune.callbacks import (
    CheckpointWritten,
    DecisionApplied,
    Event,
    StatusChanged,
    SweepEnded,
    SweepStarted,
    TrialFailed,
    TrialReported,
)
from rltune.request.functions import function_spec
from rltune.runs.folder import RunFolder
from rltune.sweeps import runner

pytestmark = pytest.mark.slow


class Records(rltune.Callback):
    """Keeps the events that each of its methods receives, as a user overrides them."""

    made: ClassVar[list[Records]] = []

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []
        self.made.append(self)

    def of(self, method: str) -> list[Any]:
        return [event for name, event in self.events if name == method]

    def on_start(self, event: SweepStarted) -> None:
        self.events.append(("on_start", event))

    def on_result(self, event: TrialReported) -> None:
        self.events.append(("on_result", event))

    def on_exploit(self, event: DecisionApplied) -> None:
        self.events.append(("on_exploit", event))

    def on_stop(self, event: DecisionApplied) -> None:
        self.events.append(("on_stop", event))

    def on_trial_error(self, event: TrialFailed) -> None:
        self.events.append(("on_trial_error", event))

    def on_checkpoint(self, event: CheckpointWritten) -> None:
        self.events.append(("on_checkpoint", event))

    def on_status(self, event: StatusChanged) -> None:
        self.events.append(("on_status", event))

    def on_end(self, event: SweepEnded) -> None:
        self.events.append(("on_end", event))


Sweeps = dict[str, tuple[RunFolder, Records, Records]]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Iterator[Sweeps]:
    """A sweep under pbt, and one under asha in which trials fail: the run and both callbacks."""
    storage = tmp_path_factory.mktemp("events")
    found = {}
    for scheduler, function in (("pbt", functions.climb), ("asha", functions.trips)):
        spec = function_spec(
            function,
            {"lr": {"log": [1e-5, 1e-2]}},
            metric="height",
            **{"scheduler": scheduler, "trials": 5, "steps": 12, "perturb_every": 4},
            max_failures=0,
            concurrent=1,
            storage=storage,
            name=scheduler,
            seed=3,
        )
        own = Records()
        folder = runner.run(replace(spec, callbacks=(places.place_of(Records),)), [own])
        found[scheduler] = (folder, own, Records.made[-1])
    return found


def test_both_are_notified_of_the_same(sweeps: Sweeps) -> None:
    for _, own, named in sweeps.values():
        assert own is not named
        assert own.events == named.events
        methods = [method for method, _ in own.events]
        assert (methods[0], methods[-1]) == ("on_start", "on_end")


def test_a_trial_runs_before_it_reports(sweeps: Sweeps) -> None:
    for _, own, _ in sweeps.values():
        first = next(event for name, event in own.events if name == "on_result")
        assert isinstance(first, TrialReported)
        runs = ("on_status", StatusChanged(first.report.trial, "RUNNING"))
        assert runs in own.events[: own.events.index(("on_result", first))]


def test_every_report_checkpoint_and_summary_is_seen(sweeps: Sweeps) -> None:
    for folder, own, _ in sweeps.values():
        rows = {trial: folder.reports(trial) for trial in folder.trials()}
        reports = [event.report for event in own.of("on_result")]
        for trial, expected in rows.items():
            assert [row for row in reports if row.trial == trial] == expected
        assert own.of("on_checkpoint")
        (start,), (end,) = own.of("on_start"), own.of("on_end")
        assert (start.folder.path, end.summary) == (folder.path, folder.summary)


def test_every_exploit_and_stop_is_seen(sweeps: Sweeps) -> None:
    kinds = {"pbt": ("on_exploit", "exploit"), "asha": ("on_stop", "stop")}
    for scheduler, (folder, own, _) in sweeps.items():
        for method, kind in kinds.values():
            decisions = [decision for decision in folder.decisions() if decision.kind == kind]
            assert [event.decision for event in own.of(method)] == decisions
        method, _ = kinds[scheduler]
        assert own.of(method)


def test_every_failure_is_seen(sweeps: Sweeps) -> None:
    folder, own, _ = sweeps["asha"]
    failed = own.of("on_trial_error")
    assert [event.failure for event in failed] == [
        failure for event in failed for failure in folder.failures(event.trial)
    ]
    assert {event.trial for event in failed} == {
        trial.id for trial in folder.summary.trials if trial.status == "ERROR"
    }
    assert 0 < len(failed) < 5
    assert "the rope broke" in failed[0].failure.error


def test_the_run_folder_says_what_the_sweep_did_when(sweeps: Sweeps) -> None:
    for folder, _, _ in sweeps.values():
        phases = folder.phases()
        assert [phase.name for phase in phases] == ["starting", "training", "ended"]
        seconds = phases[-1].time - phases[0].time
        assert phases == sorted(phases, key=lambda phase: phase.time)
        assert seconds >= max(row.wall_seconds for row in folder.reports("t00"))


def test_a_resume_calls_them_again(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = sweeps["pbt"]
    (folder.path / "summary.json").unlink()  # killed when it had trained
    own = Records()
    before = len(Records.made)
    resumed = runner.resume(RunFolder.open(folder.path), [own])
    (named,) = Records.made[before:]
    assert [method for method, _ in own.events] == ["on_start", "on_end"]
    start, end = resumed.phases()[-2:]
    assert (start.name, end.name) == ("starting", "ended")
    assert start.before == resumed.seconds_spent > 0
    assert named.events == own.events
    assert resumed.summary is not None
    assert resumed.spec.callbacks == (places.place_of(Records),)
