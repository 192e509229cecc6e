"""Schedulers: what happens to a trial after each report. One file each, one table.

A scheduler's module has one function, ``build(context) -> Scheduler``; the contract is in
:class:`rltune.schedulers.base.Scheduler`. Adding one is a new file and a row here: the command
line's help and lists, the checks of options, and the contract tests follow from the table.
Importing the table loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from rltune.errors import BadInput, keyword, unknown
from rltune.options import Budget
from rltune.schedulers import brackets, limits

if TYPE_CHECKING:
    from rltune.metric import Metric
    from rltune.schedulers.base import Scheduler, SchedulerContext
    from rltune.spec import RunSpec


@dataclass(frozen=True)
class SchedulerRow:
    """One line of the table.

    Attributes:
        doc: what it is, in a few words.
        options: those of :class:`rltune.options.Budget` that it uses, and not every scheduler.
        population: whether trials train side by side and learn from each other.
        pauses: ages in environment steps at which a trial may have to wait; None where it never
            does.
        limit: says what keeps it from deciding anything at a budget; None where nothing does.
        find_state: see :attr:`state`.
        extends: whether trials may train for longer than was planned, in a sweep that has ended.
        compares: whether it decides about trials by the metric, one number.
    """

    doc: str
    options: tuple[str, ...] = ()
    population: bool = False
    pauses: Callable[[Budget], Sequence[int]] | None = None
    limit: Callable[[Budget], str | None] = limits.none
    find_state: Callable[[], str] = limits.ready
    extends: bool = True
    compares: bool = True

    @property
    def state(self) -> str:
        """Its state on this installation: "ready", or what is missing."""
        return self.find_state()


def _intervals(budget: Budget) -> Sequence[int]:
    """The ends of a member's intervals."""
    return range(budget.perturb_every, budget.steps + 1, budget.perturb_every)


_OF_POPULATIONS = ("synchronous", "burn_in", "quantile", "margin", "controls")

SCHEDULERS: dict[str, SchedulerRow] = {
    "pb2": SchedulerRow(
        "Population Based Bandits (Parker-Holder et al. 2020)",
        _OF_POPULATIONS,
        population=True,
        pauses=_intervals,
        limit=limits.population,
    ),
    "pbt": SchedulerRow(
        "Population Based Training (Jaderberg et al. 2017)",
        (*_OF_POPULATIONS, "resample_probability"),
        population=True,
        pauses=_intervals,
        limit=limits.population,
    ),
    "mfpbt": SchedulerRow(
        "PBT in sub-populations with intervals of their own (Doulazmi et al. 2025)",
        (*_OF_POPULATIONS, "resample_probability"),
        population=True,
        pauses=_intervals,
        limit=limits.multi_frequency,
    ),
    "asha": SchedulerRow(
        "asynchronous successive halving (Li et al. 2020)",
        ("reduction_factor",),
        limit=limits.halving,
    ),
    "hyperband": SchedulerRow(
        "brackets of trials, halved round by round (Li et al. 2018)",
        ("reduction_factor",),
        pauses=brackets.milestones,
        limit=limits.hyperband,
        extends=False,
    ),
    "bohb": SchedulerRow(
        "HyperBand for the searcher bohb (Falkner et al. 2018)",
        ("reduction_factor",),
        pauses=brackets.milestones,
        limit=limits.bohb,
        find_state=limits.bohb_state,
        extends=False,
    ),
    "median": SchedulerRow(
        "stops trials below the median of the others (Golovin et al. 2017)",
        ("min_samples",),
        limit=limits.median,
    ),
    "fifo": SchedulerRow("every trial runs to its end", compares=False),
}

#: What other libraries have as a scheduler, and is a command here.
COMMANDS = {
    "replay": (
        "the schedule of settings that a population's best trial was trained with, on fresh seeds",
        "rltune replay RUN",
    )
}


def row(name: str) -> SchedulerRow:
    """The table's line of a scheduler.

    Raises:
        BadInput: there is none; names the nearest.
    """
    if name in COMMANDS:
        what, command = COMMANDS[name]
        raise BadInput(f"{name} is no scheduler of a sweep. {what.capitalize()}: {command}")
    if name not in SCHEDULERS:
        raise unknown("scheduler", name, SCHEDULERS)
    return SCHEDULERS[name]


def users_of(option: str) -> list[str]:
    """The schedulers that use an option of some of them; empty for one of all or none."""
    return [name for name, row in SCHEDULERS.items() if option in row.options]


def unused(scheduler: str, given: Iterable[str]) -> list[str]:
    """What is wrong with options that are given to a scheduler which does not use them."""
    used = row(scheduler).options
    return [
        f"{option} is not used by {scheduler}, but by {' and '.join(users)}: leave it out, or "
        f"choose {keyword(scheduler=users[0])}"
        for option in given
        if option not in used and (users := users_of(option))
    ]


def limit(budget: Budget) -> str | None:
    """What keeps the scheduler from deciding anything at a budget; None where nothing does."""
    return row(budget.scheduler).limit(budget)


def check_seeds(budget: Budget) -> None:
    """Raises BadInput for settings on several seeds where settings move from trial to trial."""
    if row(budget.scheduler).population and budget.seeds_per_trial > 1:
        raise BadInput(
            f"seeds_per_trial: the members of {budget.scheduler} change their settings while they "
            f"train, so that none is judged by itself. Use {keyword(scheduler='asha')}, or judge "
            "the outcome with `rltune replay`"
        )


def check_objectives(budget: Budget, goals: Sequence[Metric]) -> None:
    """Raises BadInput for several objectives where trials are compared by the first one alone."""
    if len(goals) < 2:
        return
    others = " and ".join(goal.objective for goal in goals[1:])
    if row(budget.scheduler).compares:
        raise BadInput(
            f"objective: {budget.scheduler} compares trials by {goals[0].name} alone and would "
            f"ignore {others}: use {keyword(scheduler='fifo')}, where every trial runs to its end"
        )
    if budget.seeds_per_trial > 1:
        raise BadInput(
            f"seeds_per_trial: settings race by {goals[0].name} alone, which would ignore {others}:"
            " leave it out, or give one objective"
        )


def pauses(spec: RunSpec) -> Sequence[int]:
    """Environment steps of a trial at whose first report, or later, it may be paused."""
    find = row(spec.budget.scheduler).pauses
    return () if find is None else find(spec.budget)


def build(context: SchedulerContext) -> Scheduler:
    """The scheduler that a run asks for."""
    name = context.spec.budget.scheduler
    row(name)
    scheduler: Scheduler = import_module(f"rltune.schedulers.{name}").build(context)
    return scheduler
