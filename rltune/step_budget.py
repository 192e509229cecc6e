"""Environment steps that the trials of a sweep may spend together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: Whether each trial that has not ended trains at the moment, by its id.
Live = Callable[[], Mapping[str, bool]]


class StepBudget:
    """Lets trials train as long as the steps of all of them last.

    A trial spends its steps with its next report, which comes whole: it trains on, or starts, only
    where that report brings the sum nearer to the budget. Trials that train have theirs set aside.
    Where reports are of equal length the sum ends within half of one of the budget. A report is
    longer where episodes are finished before a pause: what one will take is guessed from the last.

    Args:
        total: steps of all trials, lost work included; None for no limit.
        before: those that earlier parts of a resumed run took.
        live: the trials of the sweep.
        report: steps of a report while there was none.
    """

    def __init__(
        self, total: int | None, before: int = 0, live: Live = dict, report: int = 1
    ) -> None:
        self._total, self._spent, self._live, self._first = total, before, live, report
        #: Steps of each trial's last report.
        self._last: dict[str, int] = {}
        #: Trials that were told to end, and that have started and not reported yet.
        self._told: set[str] = set()
        self._started: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Without the trials: Tune pickles what ends a sweep, and nobody reads that."""
        return {**vars(self), "_live": dict}

    def spent(self, trial: str, steps: int) -> None:
        """A trial has reported; none where Tune sends a report again, once its trial is done."""
        self._spent += steps
        if steps:
            self._last[trial] = steps
        self._told.discard(trial)  # one that is tried again
        self._started.discard(trial)

    def told(self, trial: str) -> None:
        """A trial ends with its last report."""
        self._told.add(trial)

    def started(self, trial: str) -> None:
        """A trial is about to train."""
        self._started.add(trial)
        self._told.discard(trial)

    def has_room(self, trial: str | None = None) -> bool:
        """Whether another report brings the sum nearer to the budget.

        Args:
            trial: of this one; None for any other that would start.
        """
        if self._total is None:
            return True
        coming = [name for name in self._coming() if name != trial]
        report = self._report(trial)
        others = sum(self._report(name) for name in coming)
        return self._spent + others + report / 2 <= self._total

    @property
    def is_used_up(self) -> bool:
        """Whether nobody trains, and nobody may."""
        return not self.has_room() and not self._coming(and_told=True)

    def _coming(self, and_told: bool = False) -> list[str]:
        """Trials that will report once more."""
        if self._total is None:
            return []
        return [
            name
            for name, trains in self._live().items()
            if (trains or name in self._started) and (and_told or name not in self._told)
        ]

    def _report(self, trial: str | None) -> float:
        """Steps of a trial's next report: as of its last, or as others' are."""
        if trial in self._last:
            return self._last[trial]
        return sum(self._last.values()) / len(self._last) if self._last else self._first
