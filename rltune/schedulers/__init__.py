"""Schedulers: what happens to a trial after each report. One file each, one table.

A scheduler's module has one function, ``build(plan) -> ray.tune TrialScheduler``. Adding one is a
new file and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rltune.errors import unknown
from rltune.spec import RunSpec

TIME = "env_steps"


@dataclass(frozen=True)
class Decision:
    """What a scheduler decided about a trial.

    Attributes:
        kind: "exploit", "stop", or "change": other settings from here on, as a schedule says.
        trial: its id.
        env_steps: on the trial's clock.
        donor: id of the trial whose weights and settings were taken; None but for an exploit.
        requested: the searched settings asked for.
        donor_env_steps: on the donor's clock, of the checkpoint that was copied.
    """

    kind: str
    trial: str
    env_steps: int
    donor: str | None
    requested: dict[str, Any]
    donor_env_steps: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a scheduler is built from.

    Attributes:
        decided: to be called with decisions that are made together, before they take effect.
        slots: trials that run at a time.
        checkpoint_of: the last checkpoint that a trial wrote itself, by the trial's id.
        noticed: to be told what a person should know.
    """

    spec: RunSpec
    decided: Callable[[Sequence[Decision]], None]
    slots: int
    checkpoint_of: Callable[[str], Path | None] = lambda _trial: None
    noticed: Callable[[str], None] = lambda _text: None


@dataclass(frozen=True)
class SchedulerRow:
    """One line of the table.

    Attributes:
        population: trials train side by side and learn from each other.
    """

    doc: str
    population: bool


SCHEDULERS: dict[str, SchedulerRow] = {
    "pb2": SchedulerRow("Population Based Bandits (Parker-Holder et al. 2020)", True),
    "pbt": SchedulerRow("Population Based Training (Jaderberg et al. 2017)", True),
    "asha": SchedulerRow("asynchronous successive halving (Li et al. 2020)", False),
    "fifo": SchedulerRow("every trial runs to its end", False),
}


def row(name: str) -> SchedulerRow:
    """The table's line of a scheduler.

    Raises:
        BadInput: there is none; names the nearest.
    """
    if name not in SCHEDULERS:
        raise unknown("scheduler", name, SCHEDULERS)
    return SCHEDULERS[name]


def pauses(spec: RunSpec) -> Sequence[int]:
    """Environment steps of a trial at whose first report, or later, it may be paused."""
    if spec.arms:
        return sorted({at for schedule in spec.arms.values() for at, _ in schedule if at > 0})
    every = spec.budget.perturb_every
    return (
        range(every, spec.budget.steps + 1, every) if row(spec.budget.scheduler).population else ()
    )


def build(plan: Plan) -> Any:
    """The Tune scheduler that a run asks for."""
    row(plan.spec.budget.scheduler)
    name = "arms" if plan.spec.arms else plan.spec.budget.scheduler
    return import_module(f"rltune.schedulers.{name}").build(plan)
