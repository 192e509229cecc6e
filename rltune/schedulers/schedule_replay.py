"""Trials whose settings follow a schedule: the arms of a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rltune.runs.names import number_of
from rltune.runs.records import Decision, TrialRecord
from rltune.schedulers.base import TIME, Action, Change, SchedulerContext, Turn
from rltune.schedulers.fifo import Fifo

#: Searched settings, by name.
Settings = Mapping[str, Any]


class ScheduleReplay(Fifo):
    """Every trial runs to its end, at the settings that its arm's schedule has for its age.

    At the first report at or past a change a trial is saved, and continues from that checkpoint at
    the new settings. All arms pause where any of them changes: a pause cuts episodes and adds a
    checkpoint, and the arms shall differ in nothing but their settings.

    What is due follows from the age of the checkpoint that a trial continues from, also after a
    resume or a failure: there is nothing to save.
    """

    def __init__(
        self, context: SchedulerContext, changes: Sequence[int], due: Callable[[int, int], Settings]
    ) -> None:
        self._context = context
        self._changes = changes
        self._due = due
        self._settings: dict[str, Mapping[str, Any]] = {}
        #: Age of the checkpoint that a trial continues from.
        self._ages: dict[str, int] = {}
        self._pausing: set[str] = set()
        #: Trials whose next start has not been decided yet; the values say nothing.
        self._open: dict[str, None] = {}

    def added(self, trial: str, settings: Mapping[str, Any]) -> None:
        """Keeps the trial's settings."""
        self._settings[trial] = settings
        self._open[trial] = None

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        """Pauses the trial where a change is due."""
        since = self._ages[trial]
        if not any(since < at <= report[TIME] for at in self._changes):
            return Action.CONTINUE
        self._pausing.add(trial)
        return Action.PAUSE

    def saved(self, trial: str) -> None:
        """Counts a pause: the checkpoint that the trial continues from is written."""
        if trial in self._pausing:
            self._pausing.discard(trial)
            self._open[trial] = None

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        """Forgets that the trial waits."""
        self._pausing.discard(trial)
        self._open.pop(trial, None)

    def choose(self, waiting: Sequence[str]) -> Turn:
        """Starts a trial that has begun before another begins, at the settings that are due."""
        changes = [change for trial in self._open if (change := self._change(trial))]
        self._open.clear()
        order = sorted(waiting, key=lambda trial: (not self._ages[trial], number_of(trial)))
        return Turn(order[0] if order else None, changes)

    def _change(self, trial: str) -> Change | None:
        """Brings the trial to the settings due at the age of the checkpoint it continues from."""
        path = self._context.checkpoint_of(trial)
        age = 0 if path is None else TrialRecord.read(path).env_steps
        self._ages[trial] = age
        due = dict(self._due(number_of(trial), age))
        settings = self._settings[trial]
        if all(settings[name] == value for name, value in due.items()):
            return None
        self._settings[trial] = {**settings, **due}
        decision = Decision(kind="change", env_steps=age, trial=trial, requested=due)
        return Change(decision, self._settings[trial])


def build(
    context: SchedulerContext, changes: Sequence[int], due: Callable[[int, int], Settings]
) -> ScheduleReplay:
    """The scheduler of a replay.

    Args:
        changes: environment steps at which any schedule changes, in rising order.
        due: the searched settings of trial number ``index`` at an age in environment steps.
    """
    return ScheduleReplay(context, changes, due)
