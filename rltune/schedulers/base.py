"""The contract of a scheduler: what it is built from, what it is notified of, what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from rltune.runs.records import Decision
from rltune.space import Space
from rltune.spec import RunSpec

#: The clock of a trial, by its name in a report.
TIME = "env_steps"


class Action(Enum):
    """What a trial does after a report."""

    #: Trains on.
    CONTINUE = "continue"
    #: Writes a checkpoint and trains on.
    SAVE = "save"
    #: Writes a checkpoint and waits in line for its next start.
    PAUSE = "pause"
    #: Ends.
    STOP = "stop"


@dataclass(frozen=True)
class Change:
    """What a waiting trial continues with, instead of its own settings and weights.

    Attributes:
        decision: as decisions.jsonl holds it; names the trial.
        settings: the trial's whole configuration from its next start on.
        checkpoint: what its next start loads; None for the trial's own last checkpoint.
    """

    decision: Decision
    settings: Mapping[str, Any]
    checkpoint: Path | None = None


@dataclass(frozen=True)
class Turn:
    """Which trial starts next, and what is decided about waiting trials first.

    Attributes:
        start: the trial that starts; None where none may start now.
        changes: take effect at the next start of their trials, which may come later.
        stops: waiting trials that end.
    """

    start: str | None = None
    changes: Sequence[Change] = ()
    stops: Sequence[str] = ()


class Scheduler(Protocol):
    """Decides what a trial does after each report, and which waiting trial starts next.

    A trial is a name, ``t00``, ``t01`` ... in the order in which trials are made. It waits until
    :meth:`choose` starts it, trains and reports, may be paused and started again, and ends. To the
    scheduler that is this sequence of calls, one at a time, those of other trials in between::

        added, choose, reported, reported, saved, choose, reported, ..., ended

    A trial that fails and is tried again is ended and then added again, at its last checkpoint. A
    trial ends by itself at its budget: the scheduler need not know how long a trial trains.

    ``tests/schedulers/test_scheduler_contract.py`` holds every scheduler of the table to this:

    - *Determined*: equal calls get equal answers. Random draws come from a generator of the
      scheduler's own, seeded with ``spec.seed``.
    - *Saved state*: a scheduler that is built again and given its saved state answers as the first
      one would have. What a trial reported since its last checkpoint is not part of the state: a
      trial that is taken back to that checkpoint reports it once more. It counts from
      :meth:`saved` on.
    - *Scores*: reports are compared by ``spec.goal.score_of(report)``, larger is better; a report
      may have no score (None), and a score may be NaN.
    - *Space*: settings of a :class:`Change` lie in ``spec.space`` and keep its constraints.

    A new scheduler is a module of this package with ``build(context) -> Scheduler`` and a row in
    its table. :class:`rltune.schedulers.fifo.Fifo` implements everything in the simplest way and
    is there to be subclassed; tests drive a scheduler on a table of returns, without Ray.
    """

    def added(self, trial: str, settings: Mapping[str, Any]) -> None:
        """Notifies of a trial that waits from now on: a new, a resumed or a failed one.

        Args:
            settings: its whole configuration, the searched settings among others.
        """

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        """Decides what a trial does after a report.

        Not called for the report with which a trial ends by itself, see :meth:`ended`.

        Args:
            report: values by name, with :data:`TIME`; names of nested values are joined by "/".
            others_wait: whether a trial waits for its start, so that a pause gives it the slot.
        """

    def saved(self, trial: str) -> None:
        """Notifies that the checkpoint is written that belongs to a trial's last report."""

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        """Notifies that a trial has ended.

        Args:
            report: its last one; None where it failed or was ended while it waited.
        """

    def choose(self, waiting: Sequence[str]) -> Turn:
        """Decides which trial starts; called again and again, also when nothing has happened.

        Args:
            waiting: trials that could start now, in the order in which they were added; empty
                while no slot is free.
        """

    def get_state(self) -> dict[str, Any]:
        """Everything that later answers depend on, as JSON holds it, see above."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues where :meth:`get_state` was called; trials are added afterwards."""


@dataclass(frozen=True)
class SchedulerContext:
    """What a scheduler is built from.

    Attributes:
        spec: the run, with its budget, its space and its seed.
        checkpoint_of: the last checkpoint that a trial wrote itself, by the trial's name.
        noticed: to be called with what a person should know.
        mutable: settings that may change while a trial trains; None for all that are searched.
    """

    spec: RunSpec
    checkpoint_of: Callable[[str], Path | None] = lambda _trial: None
    noticed: Callable[[str], None] = lambda _text: None
    mutable: Space | None = None

    @property
    def changes(self) -> Space:
        """The settings that an exploit may change."""
        return self.spec.space if self.mutable is None else self.mutable
