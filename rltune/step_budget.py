"""Environment steps that the trials of a sweep may spend together."""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: Whether each trial that has not ended trains at the moment, by its id.
Live = Callable[[], Mapping[str, bool]]
#: Reports before a pause that are remembered.
RECENT = 16


class StepBudget:
    """Lets trials train as long as the steps of all of them last.

    A trial spends its steps with its next report, which comes whole: it trains on, or starts, only
    where that report brings the sum nearer to the budget. Trials that train have theirs set aside.
    The sum ends within half of a report of the budget, as far as what a report will take is known:
    as much as the trial's last one. At a pause episodes may be finished, which takes many times
    the steps that are trained, or none: there it is the most that was seen of late. Where a trial
    is stopped for steps that others do not take after all, those who still train take them.

    Args:
        total: steps of all trials, lost work included; None for no limit.
        before: those that earlier parts of a resumed run took.
        live: the trials of the sweep.
        report: steps of a report while there was none.
        pauses: ages of a trial at whose first report, or later, it may be paused; rising.
    """

    def __init__(
        self,
        total: int | None,
        before: int = 0,
        live: Live = dict,
        report: int = 1,
        pauses: Sequence[int] = (),
    ) -> None:
        self._total, self._spent, self._live, self._first = total, before, live, report
        self._pauses = pauses
        #: Whether any trial ended for want of steps.
        self.cut_short = False
        #: Steps of each trial's last report in the midst of its training, and of the latest reports
        #: of all trials at which one may have been paused.
        self._last: dict[str, int] = {}
        self._at_pauses: deque[int] = deque(maxlen=RECENT)
        #: Each trial's age at its last report, and how much of it that report was.
        self._ages: dict[str, tuple[int, int]] = {}
        #: Trials that were told to end, and that have started and not reported yet.
        self._told: set[str] = set()
        self._started: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Without the trials: Tune pickles what ends a sweep, and nobody reads that."""
        return {**vars(self), "_live": dict}

    def spent(self, trial: str, steps: int, age: int) -> None:
        """A trial has reported.

        Args:
            steps: that the report took; none where Tune sends a report again, once its trial is
                done.
            age: of the trial, in environment steps: less than all its reports took, where they
                finished episodes.
        """
        self._spent += steps
        if steps:
            before, _ = self._ages.get(trial, (age, 0))
            if before >= age:  # tried again from its checkpoint, or of a run that is resumed
                before = max(0, age - steps)
            if self._pauses_within(before, age):
                self._at_pauses.append(steps)
            else:
                self._last[trial] = steps
            self._ages[trial] = age, age - before
        self._told.discard(trial)  # one that is tried again
        self._started.discard(trial)

    def told(self, trial: str, short: bool = False) -> None:
        """A trial ends with its last report; ``short``: because there is no room for another."""
        self._told.add(trial)
        self.cut_short |= short

    def started(self, trial: str) -> None:
        """A trial is about to train."""
        self._started.add(trial)
        self._told.discard(trial)

    def is_set_aside(self, trial: str) -> bool:
        """Whether a trial that has not reported since it was to start has its steps already."""
        return trial in self._started

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
        """Steps of a trial's next report, of one that has not reported yet as others' are."""
        age, trained = self._ages.get(trial or "", (0, self._first))
        if self._at_pauses and self._pauses_within(age, age + trained):
            return max(self._at_pauses)
        if trial in self._last:
            return self._last[trial]
        if self._last:
            return sum(self._last.values()) / len(self._last)
        return max(self._at_pauses, default=self._first)

    def _pauses_within(self, before: int, age: int) -> bool:
        """Whether a trial may be paused at the report that brings it from one age to another."""
        place = bisect(self._pauses, before)
        return place < len(self._pauses) and self._pauses[place] <= age
