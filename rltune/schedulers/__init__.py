"""Schedulers: what happens to a trial after each report. One file each, one table.

A scheduler's module has one function, ``build(context) -> Scheduler``; the contract is in
:class:`rltune.schedulers.base.Scheduler`. Adding one is a new file and a row here: the command
line's help and lists, and the contract tests, follow from the table. Importing the table loads
nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from rltune.errors import unknown

if TYPE_CHECKING:
    from rltune.schedulers.base import Scheduler, SchedulerContext
    from rltune.spec import RunSpec


@dataclass(frozen=True)
class SchedulerRow:
    """One line of the table.

    Attributes:
        doc: what it is, in a few words.
        population: whether trials train side by side and learn from each other.
        extends: whether trials may train for longer than was planned, in a sweep that has ended.
    """

    doc: str
    population: bool
    extends: bool = True


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
    every = spec.budget.perturb_every
    return (
        range(every, spec.budget.steps + 1, every) if row(spec.budget.scheduler).population else ()
    )


def build(context: SchedulerContext) -> Scheduler:
    """The scheduler that a run asks for."""
    name = context.spec.budget.scheduler
    row(name)
    scheduler: Scheduler = import_module(f"rltune.schedulers.{name}").build(context)
    return scheduler
