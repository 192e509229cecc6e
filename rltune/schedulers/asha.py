"""Asynchronous successive halving (Li et al. 2020): weak trials stop early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.schedulers import ASHAScheduler

from rltune.schedulers.base import TIME, Decision, SchedulerContext
from rltune.schedulers.reuse_actors import ReuseActorsMixin


class Asha(ReuseActorsMixin, ASHAScheduler):
    """Tune's own, with its decisions told and its rungs kept over a resume."""

    def __init__(self, context: SchedulerContext) -> None:
        budget = context.spec.budget
        super().__init__(
            time_attr=TIME,
            metric=context.spec.metric,
            mode=context.spec.mode,
            max_t=budget.steps,
            grace_period=min(budget.perturb_every, budget.steps),
            reduction_factor=3,
            # A trial at its last rung ends by its own budget, not as a stopped one.
            stop_last_trials=False,
        )
        self._context = context
        #: Rungs that a trial has got to since its last checkpoint.
        self._since_saved: dict[str, set[int]] = {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Tune's answer; a stop is told."""
        before = self._rungs_of(trial.trial_id)
        answer: str = super().on_trial_result(tune_controller, trial, result)
        new = self._rungs_of(trial.trial_id) - before
        self._since_saved.setdefault(trial.trial_id, set()).update(new)
        if answer == self.STOP:
            self._context.decided([Decision("stop", str(trial), result[TIME], None, {})])
        return answer

    def saved(self, trial: Any) -> None:
        """A resume goes on behind these rungs."""
        self._since_saved.pop(trial.trial_id, None)

    def _rungs_of(self, trial_id: str) -> set[int]:
        rungs = self._brackets[0]._rungs
        return {n for n, (_, recorded) in enumerate(rungs) if trial_id in recorded}

    def get_state(self) -> dict[str, Any]:
        """The scores recorded on each rung, by trial: Tune saves no scheduler itself.

        What a trial reported since its last checkpoint, it will report again after a resume.
        """
        return {
            "rungs": [
                {
                    name: score
                    for name, score in recorded.items()
                    if number not in self._since_saved.get(name, ())
                }
                for number, (_, recorded) in enumerate(self._brackets[0]._rungs)
            ]
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Puts the recorded scores back."""
        for (_, recorded), saved in zip(self._brackets[0]._rungs, state["rungs"], strict=True):
            recorded.update(saved)


def build(context: SchedulerContext) -> Asha:
    """ASHA over environment steps; the first rung is the preset's ``perturb_every``."""
    return Asha(context)
