"""Asynchronous successive halving (Li et al. 2020): weak trials stop early."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import ASHAScheduler

from rltune.schedulers import METRIC, TIME, Decision, Plan
from rltune.schedulers.actors import KeepsActors


class Asha(KeepsActors, ASHAScheduler):
    """Tune's own, with its decisions told and its rungs kept over a resume."""

    def __init__(self, plan: Plan) -> None:
        budget = plan.spec.budget
        super().__init__(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            max_t=budget.steps,
            grace_period=min(budget.perturb_every, budget.steps),
            reduction_factor=3,
            # A trial at its last rung ends by its own budget, not as a stopped one.
            stop_last_trials=False,
        )
        self._plan = plan

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Tune's answer; a stop is told."""
        answer: str = super().on_trial_result(tune_controller, trial, result)
        if answer == self.STOP:
            self._plan.decided(Decision("stop", str(trial), result[TIME], None, {}))
        return answer

    def get_state(self) -> list[dict[str, float]]:
        """The scores recorded on each rung, by trial: Tune saves no scheduler itself."""
        return [recorded for _, recorded in self._brackets[0]._rungs]

    def set_state(self, state: list[dict[str, float]]) -> None:
        """Puts the recorded scores back."""
        for (_, recorded), saved in zip(self._brackets[0]._rungs, state, strict=True):
            recorded.update(saved)


def build(plan: Plan) -> Asha:
    """ASHA over environment steps; the first rung is the preset's ``perturb_every``."""
    return Asha(plan)
