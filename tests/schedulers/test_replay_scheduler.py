"""Trials that follow a schedule, on a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from schedulers.table import REPORT, Table

from rltune.schedulers import schedule_replay
from rltune.schedulers.base import SchedulerContext
from rltune.simulator import SimulatedTrial

#: Of even trials; the others keep their first settings.
SCHEDULE = {0: 1e-3, 1_500: 3e-3, 1_600: 4e-3, 4_000: 1e-4}


def due(index: int, age: int) -> dict[str, Any]:
    changes = SCHEDULE if index % 2 == 0 else {0: 1e-3}
    return {"lr": next(lr for at, lr in reversed(changes.items()) if at <= age)}


class Replay(Table):
    """Remembers what each report was trained with, and at which ages trials were saved."""

    def __init__(self, members: int, **options: Any) -> None:
        self.ran: dict[str, list[tuple[int, float]]] = {}
        self.pauses: dict[str, set[int]] = {}
        options |= {"space": {"lr": {"log": [1e-5, 1e-1]}}, "points": [{"lr": 1e-3}] * members}
        super().__init__(self.note, "fifo", members, **options)

    def note(self, name: str, clock: int, config: Mapping[str, Any]) -> float:
        self.ran.setdefault(name, []).append((clock, config["lr"]))
        return 0.0

    def build(self, context: SchedulerContext) -> Any:
        return schedule_replay.build(context, [at for at in SCHEDULE if at], due)

    def save(self, trial: SimulatedTrial) -> None:
        self.pauses.setdefault(trial.id, set()).add(trial.env_steps)
        super().save(trial)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("killed", [None, 5, 17, 30])
def test_every_report_is_trained_at_the_settings_that_are_due(
    slots: int, killed: int | None
) -> None:
    table = Replay(members=4, slots=slots)
    if killed:
        table.run(killed).kill()
    table.run()
    for index, trial in enumerate(table.trials.values()):
        for clock, lr in table.ran[trial.id]:
            assert lr == due(index, clock - REPORT)["lr"]
        assert table.pauses[trial.id] == {1_500, 1_750, 4_000}, "all arms pause"
    changes = {(d.trial, d.env_steps, d.requested["lr"]) for d in table.decisions}
    assert {(name, at) for name, at, _ in changes} == {
        (name, at) for name in ("t00", "t02") for at in (1_500, 1_750, 4_000)
    }


def test_a_trial_that_has_begun_comes_before_one_that_has_not() -> None:
    table = Replay(members=3, slots=1).run(17)
    assert table.clock["t00"] == 17 * REPORT
    assert table.clock["t01"] == 0


def test_a_failed_trial_goes_back_to_the_settings_of_its_checkpoint() -> None:
    table = Replay(members=2, slots=2).run(30)
    for trial in table.running:
        table.fail(trial)
    table.run()
    for index, trial in enumerate(table.trials.values()):
        for clock, lr in table.ran[trial.id]:
            assert lr == due(index, clock - REPORT)["lr"]
