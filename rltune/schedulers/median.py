"""The median stopping rule (Golovin et al. 2017, Google Vizier): trials below the median stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from rltune.schedulers.base import TIME, Action, SchedulerContext
from rltune.schedulers.fifo import Fifo


@dataclass(frozen=True)
class Curve:
    """What is known of a trial.

    Attributes:
        env_steps: its age.
        total: sum of its scores, of ``count`` reports.
        best: its highest score.
        means: its mean score up to the end of each interval that it has behind it; None where it
            had none yet.
    """

    env_steps: int = 0
    total: float = 0.0
    count: int = 0
    best: float = -math.inf
    means: tuple[float | None, ...] = ()

    def extended(self, env_steps: int, score: float | None, every: int) -> Curve:
        """With one more report, whose score counts if it is finite.

        Args:
            every: length of an interval in environment steps.
        """
        if env_steps <= self.env_steps:
            return self
        now = replace(self, env_steps=env_steps)
        if score is not None and math.isfinite(score):
            best = max(self.best, score)
            now = replace(now, total=self.total + score, count=self.count + 1, best=best)
        mean = now.total / now.count if now.count else None
        behind = max(0, env_steps // every - len(self.means))
        return replace(now, means=(*self.means, *[mean] * behind))


class MedianStopping(Fifo):
    """Stops a trial whose best score is below the median of the others' mean scores.

    Decides at the end of every interval of ``perturb_every`` environment steps, the first of which
    is the grace period. The mean of a trial is over its reports up to the same age, also if it has
    ended by now. Below ``min_samples`` others of that age nothing is decided: the first trials
    always train to their end.

    Decides as Tune's MedianStoppingRule does where trials report once an interval, but for the
    pauses of trials that cannot be compared yet.
    """

    def __init__(self, context: SchedulerContext) -> None:
        budget = context.spec.budget
        self._goal = context.spec.goal
        self._every = budget.perturb_every
        self._least = budget.min_samples
        self._curves: dict[str, Curve] = {}
        #: The same as of each trial's last checkpoint.
        self._saved: dict[str, Curve] = {}

    def added(self, trial: str, settings: Mapping[str, Any]) -> None:
        """Takes in a trial, as of its last checkpoint."""
        self._curves[trial] = self._saved.get(trial, Curve())

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        """Stops a weak trial at the end of an interval."""
        before = self._curves[trial]
        now = self._curves[trial] = self._with(before, report)
        decides = len(now.means) > len(before.means) and now.count
        return Action.STOP if decides and self._is_weak(trial, now) else Action.CONTINUE

    def _with(self, curve: Curve, report: Mapping[str, Any]) -> Curve:
        return curve.extended(report[TIME], self._goal.score_of(report), self._every)

    def _is_weak(self, trial: str, curve: Curve) -> bool:
        """Whether a trial is below the median of the others."""
        last = len(curve.means) - 1
        others = [
            mean
            for name, other in self._curves.items()
            if name != trial and len(other.means) > last and (mean := other.means[last]) is not None
        ]
        return len(others) >= self._least and curve.best < median(others)

    def saved(self, trial: str) -> None:
        """Counts the trial's reports: it continues behind them after a resume."""
        self._saved[trial] = self._curves[trial]

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        """Keeps the curve of a trial that has ended: later ones are compared with it."""
        if report is None:
            self.added(trial, {})
        else:
            self._curves[trial] = self._with(self._curves[trial], report)
            self.saved(trial)

    def get_state(self) -> dict[str, Any]:
        """The curves, by trial."""
        return {"curves": {trial: vars(curve) for trial, curve in self._saved.items()}}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Puts the curves back."""
        for trial, body in state["curves"].items():
            self._saved[trial] = Curve(**{**body, "means": tuple(body["means"])})
        self._curves = dict(self._saved)


def build(context: SchedulerContext) -> MedianStopping:
    """The median stopping rule over environment steps."""
    return MedianStopping(context)
