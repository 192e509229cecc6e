"""Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934): weak trials stop early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rltune.options import Budget
from rltune.schedulers.base import TIME, Action, SchedulerContext
from rltune.schedulers.fifo import Fifo


@dataclass
class Rung:
    """An age at which trials are compared, with the scores of those that have reached it.

    Attributes:
        milestone: environment steps of a trial.
        factor: one trial in so many passes it.
        scores: by trial, larger is better.
    """

    milestone: int
    factor: int
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def cutoff(self) -> float:
        """The score that the best part has; NaN, which nothing is below, without any score."""
        scores = [score for score in self.scores.values() if not math.isnan(score)]
        share = (1 - 1 / self.factor) * 100
        return float(np.percentile(scores, share)) if scores else math.nan


class Asha(Fifo):
    """Stops a trial whose score, when it gets to a rung, is below those of the best there.

    The best are one in ``reduction_factor``. Decides as Tune's ASHAScheduler does with one bracket
    and ``stop_last_trials=False``: a trial at its last rung ends by its own budget, not as a
    stopped one.
    """

    def __init__(self, context: SchedulerContext) -> None:
        budget = context.spec.budget
        self._goal = context.spec.goal
        #: The highest comes first.
        self._rungs = rungs(budget)
        #: Milestones that a trial has got to since its last checkpoint.
        self._since_saved: dict[str, set[int]] = {}

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        """Stops a weak trial at a rung."""
        rung = self._next_rung(trial, report)
        score = self._goal.score_of(report)
        if rung is None or score is None:
            return Action.CONTINUE
        weak = score < rung.cutoff
        rung.scores[trial] = score
        self._since_saved.setdefault(trial, set()).add(rung.milestone)
        return Action.STOP if weak else Action.CONTINUE

    def saved(self, trial: str) -> None:
        """Counts the trial's rungs: a resumed trial continues behind them."""
        self._since_saved.pop(trial, None)

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        """Records the last score of a trial that ended at its budget."""
        if report is None:
            return
        rung = self._next_rung(trial, report)
        score = self._goal.score_of(report)
        if rung is not None and score is not None:
            rung.scores[trial] = score

    def _next_rung(self, trial: str, report: Mapping[str, Any]) -> Rung | None:
        """The highest rung that a trial is old enough for; None where it has a score there."""
        age = report.get(TIME, 0)
        reached = next((rung for rung in self._rungs if age >= rung.milestone), None)
        return None if reached is None or trial in reached.scores else reached

    def get_state(self) -> dict[str, Any]:
        """The scores recorded on each rung, by trial."""
        return {
            "rungs": [
                {
                    trial: score
                    for trial, score in rung.scores.items()
                    if rung.milestone not in self._since_saved.get(trial, ())
                }
                for rung in self._rungs
            ]
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Puts the recorded scores back."""
        # From the lowest on: an extended sweep has more of them.
        for rung, scores in zip(reversed(self._rungs), reversed(state["rungs"]), strict=False):
            rung.scores.update(scores)


def rungs(budget: Budget) -> list[Rung]:
    """Rungs at ``perturb_every`` environment steps, ``reduction_factor`` times as many and so on.

    Returns:
        The highest first.
    """
    first, factor = min(budget.perturb_every, budget.steps), budget.reduction_factor
    # As Tune counts them, rounding included.
    count = int(np.log(budget.steps / first) / np.log(factor) + 1)
    return [Rung(first * factor**k, factor) for k in reversed(range(count))]


def build(context: SchedulerContext) -> Asha:
    """ASHA over environment steps; the first rung is the preset's ``perturb_every``."""
    return Asha(context)
