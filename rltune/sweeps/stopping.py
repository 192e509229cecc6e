"""When a trial is done, and when the whole sweep is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ray.tune import Stopper

from rltune.errors import RltuneError
from rltune.metric import Metric
from rltune.options import Budget
from rltune.schedulers.base import TIME
from rltune.step_budget import StepBudget

#: Trials that fail one after the other, with nothing achieved in between, before a sweep ends.
FAILURES_IN_A_ROW = 5


class SweepStopper(Stopper):
    """Ends a trial at its budget, and the sweep at its target, its time, its steps or failures.

    Attributes:
        reached: Tune's ids of the trials that got to the target.
        reason: why the sweep ended, for summary.json.
        final_saved: whether nothing that runs has a checkpoint to leave.
        failures: trials that failed for good since anything was last achieved.
        fatal: what makes going on pointless; raised once Tune has ended.
    """

    #: Seconds that trials get for their last report once time is up.
    GRACE = 30.0

    def __init__(
        self,
        budget: Budget,
        goal: Metric,
        rescues: bool,
        seconds_before: float = 0.0,
        first_wins: bool = True,
        step_budget: StepBudget | None = None,
    ) -> None:
        """A new one.

        Args:
            rescues: whether the scheduler overwrites a trial that diverged.
            seconds_before: what earlier parts of a resumed run took.
            first_wins: whether the first trial at the target ends the sweep, or itself alone.
            step_budget: what all trials together may still spend.
        """
        self.step_budget = step_budget or StepBudget(None)
        #: The report of each trial whose steps were counted last, by its iteration.
        self._counted: dict[str, int | None] = {}
        self._budget = budget
        self._goal = goal
        self._rescues = rescues
        self._first_wins = first_wins
        self._deadline = (
            None
            if budget.time_budget is None
            else time.monotonic() + budget.time_budget - seconds_before
        )
        self.reached: list[str] = []
        self.final_saved = False
        self.failures = 0
        self.fatal: RltuneError | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        reaches = self._goal.reaches(self._goal.of(result), self._budget.target)
        open_ = not (self.reached and self._first_wins) and trial_id not in self.reached
        if open_ and reaches:
            self.reached.append(trial_id)
        self.step_budget.spent(trial_id, self._new_steps(trial_id, result), result[TIME])
        lost = bool(result.get("diverged")) and not self._rescues
        done = lost or result[TIME] >= self._budget.steps or trial_id in self.reached
        short = not self.step_budget.has_room(trial_id)
        done = done or self.out_of_time or short
        if done:
            self.step_budget.told(trial_id, short)
        return done

    def _new_steps(self, trial_id: str, result: Mapping[str, Any]) -> int:
        """The steps of a report.

        Of a function that returned after its last report Tune sends that report once more, or one
        without any numbers.
        """
        iteration = result.get("training_iteration")
        again = result.get("done") and self._counted.get(trial_id) == iteration
        self._counted[trial_id] = iteration
        return 0 if again else int(result.get("env_steps_this_iter", 0))

    def ended(self, trial_id: str, others_run: bool) -> None:
        """A trial has ended, its last checkpoint written."""
        won = self._first_wins and trial_id in self.reached
        self.final_saved |= won or (self.out_of_time and not others_run)

    def stop_all(self) -> bool:
        """True once the last checkpoint is left: the target's, or at the end of time all."""
        overdue = self._deadline is not None and time.monotonic() > self._deadline + self.GRACE
        return self.final_saved or overdue or self.gives_up or self.step_budget.is_used_up

    @property
    def gives_up(self) -> bool:
        """Whether trial after trial fails."""
        return self.fatal is not None or self.failures >= FAILURES_IN_A_ROW

    @property
    def out_of_time(self) -> bool:
        """Whether the time budget is spent."""
        return self._deadline is not None and time.monotonic() > self._deadline

    @property
    def reason(self) -> str:
        """ "target", "failures", "time_budget", "total_steps" or "steps"."""
        wanted = 1 if self._first_wins else self._budget.trials
        if len(self.reached) >= wanted:
            return "target"
        if self.gives_up:
            return "failures"
        if self.out_of_time:
            return "time_budget"
        short = self.step_budget.cut_short or self.step_budget.is_used_up
        return "total_steps" if short else "steps"

    def get_state(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "reached": list(self.reached),
            "final_saved": self.final_saved,
            "cut_short": self.step_budget.cut_short,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state of :meth:`get_state`; counts failures from zero again."""
        self.reached, self.final_saved = list(state["reached"]), state["final_saved"]
        self.step_budget.cut_short = state.get("cut_short", False)
