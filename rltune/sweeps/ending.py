"""When a trial is done, and when the whole sweep is."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Stopper

from rltune.schedulers import METRIC, TIME
from rltune.spec import Budget


class Ending(Stopper):
    """Ends a trial at its budget, and the sweep at its target or its time.

    Attributes:
        reached: Tune's id of the trial that got to the target; None while none has.
        reason: why the sweep ended, for summary.json.
        final_saved: set by the recorder once nothing that runs has a checkpoint to leave.
    """

    #: Seconds that trials get for their last report once time is up.
    GRACE = 30.0

    def __init__(self, budget: Budget, seconds_before: float = 0.0) -> None:
        self._budget = budget
        self._deadline = (
            None
            if budget.time_budget is None
            else time.monotonic() + budget.time_budget - seconds_before
        )
        self.reached: str | None = None
        self.final_saved = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        target = self._budget.target
        score = result.get(METRIC)
        if self.reached is None and target is not None and score is not None and score >= target:
            self.reached = trial_id
        done = result[TIME] >= self._budget.steps or self.reached == trial_id
        return done or self.out_of_time

    def stop_all(self) -> bool:
        """True once the last checkpoint is left: the target's, or at the end of time all."""
        overdue = self._deadline is not None and time.monotonic() > self._deadline + self.GRACE
        return self.final_saved or overdue

    @property
    def out_of_time(self) -> bool:
        """Whether the time budget is spent."""
        return self._deadline is not None and time.monotonic() > self._deadline

    @property
    def reason(self) -> str:
        """ "target", "time_budget" or "steps"."""
        if self.reached is not None:
            return "target"
        return "time_budget" if self.out_of_time else "steps"
