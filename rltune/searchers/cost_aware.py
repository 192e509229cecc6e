"""Cost-aware suggestions: expected improvement over predicted cost, cooled.

Of several suggestions of a searcher the one with the largest expected improvement for its cost is
taken, ``EI / cost ** alpha``. ``alpha`` falls from 1 to 0 as the budget is spent: cheap settings
first, then whatever is best (Lee, Perrone, Archambeau and Seeger 2020, "Cost-aware Bayesian
optimization", arXiv 2003.10870). Score and cost are Gaussian processes over the ended trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from rltune import schedulers
from rltune.errors import BadInput, keyword
from rltune.schedulers.gp import GaussianProcess
from rltune.searchers import SEARCHERS
from rltune.searchers.history import History, PastTrial
from rltune.searchers.library import Cube, Point
from rltune.space import Space
from rltune.spec import RunSpec

Array = NDArray[np.float64]

#: Suggestions that one is chosen from.
CANDIDATES = 16
#: Trials that have ended before a cost is predicted, and those that a process is fitted to at most.
FEWEST_TRIALS, MOST_TRIALS = 6, 150
#: How far apart the numbers lie that stand for further suggestions to one trial.
STRIDE = 1 << 32


class CostAwareSearcher:
    """Chooses among what a searcher suggests.

    What it suggests follows from the history alone, as the searcher's own suggestions do: the
    seconds of a trial are among its reports.

    Args:
        searcher: suggests others for another number, as those do that draw.
    """

    def __init__(self, spec: RunSpec, searcher: Any) -> None:
        self.spec = spec
        self._searcher = searcher
        self._cube = Cube(spec.space)

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """The searcher's own suggestion, until the costs of enough trials are known."""
        own: dict[str, Any] = self._searcher.suggest(number, history)
        known = _known(history, self.spec.space)[-MOST_TRIALS:]
        if len(known) < FEWEST_TRIALS or not self._cube:
            return own
        others = range(number + STRIDE, number + CANDIDATES * STRIDE, STRIDE)
        drawn = [own, *(self._searcher.suggest(other, history) for other in others)]
        alpha = 1 - spent(self.spec, history, number)
        value = self._values(known, [self._cube.encode(one) for one in drawn], alpha)
        chosen: dict[str, Any] = drawn[int(np.argmax(value))]
        return chosen

    def _values(self, known: Sequence[PastTrial], points: Sequence[Point], alpha: float) -> Array:
        """The logarithm of the expected improvement for the cost, of each point."""
        choices = len(self._cube.choices)
        inputs = _inputs([self._cube.encode(trial.settings) for trial in known])
        asked = _inputs(points)
        scores = GaussianProcess(inputs, _quantiles([_score(trial) for trial in known]), choices)
        mean, covariance = scores.posterior(asked)
        std = np.sqrt(np.maximum(np.diag(covariance), 1e-9))
        best = float(scores.mean(inputs).max())
        return (
            log_improvement((mean - best) / std)
            + np.log(std)
            - alpha * self._costs(known, inputs, asked)
        )

    def _costs(self, known: Sequence[PastTrial], inputs: Array, asked: Array) -> Array:
        """The predicted logarithm of the cost of each point."""
        costs = np.log([cost(trial) for trial in known])
        scale = float(costs.std())
        if scale < 1e-3:
            return np.zeros(len(asked))
        process = GaussianProcess(inputs, (costs - costs.mean()) / scale, len(self._cube.choices))
        predicted: Array = process.mean(asked) * scale + costs.mean()
        return predicted


def check(spec: RunSpec) -> None:
    """Raises BadInput where no suggestion could be chosen by its cost, or by one score."""
    budget, found = spec.budget, []
    if not SEARCHERS[budget.searcher].draws:
        able = [name for name, row in SEARCHERS.items() if row.draws]
        found.append(
            f"searcher {budget.searcher} has one suggestion for a trial, and none to choose from: "
            f"use searcher {', '.join(able)}"
        )
    if schedulers.row(budget.scheduler).population:
        found.append(
            f"{budget.scheduler} changes settings while trials train, and starts only its first "
            f"generation from suggestions: use {keyword(scheduler='asha')}"
        )
    if spec.objective:
        found.append("several objectives may have seconds among them: give -seconds there instead")
    if budget.seeds_per_trial > 1:
        found.append("settings that race on several seeds are not judged by one trial's cost")
    if spec.space.grid():
        found.append(f"every option of {', '.join(spec.space.grid())} is tried, dear or cheap")
    if found:
        raise BadInput([f"cost_aware: {problem}" for problem in found])


def spent(spec: RunSpec, history: History, number: int) -> float:
    """The share of a sweep's budget that is spent, of trials, steps or time, whichever is most.

    Trials that still run are left out, so that a resumed sweep sees the same.
    """
    budget = spec.budget
    own = [trial for trial in history.over if "/" not in trial.id]
    shares = [number / budget.trials]
    if budget.total_steps is not None:
        shares.append(sum(trial.clock for trial in own) / budget.total_steps)
    if budget.time_budget is not None:
        slots = len(history.running) + 1
        shares.append(sum(trial.seconds for trial in own) / (slots * budget.time_budget))
    return min(1.0, max(shares))


def cost(trial: PastTrial) -> float:
    """Seconds of one of a trial's steps: trials that are stopped early are not cheap for that."""
    return max(trial.seconds, 1e-6) / trial.clock


def log_improvement(lead: Array) -> Array:
    """The logarithm of ``lead * Phi(lead) + phi(lead)``, also where that is tiny."""
    far = lead < -30  # there it is phi / lead ** 2, and the difference below is rounding
    near = np.where(far, 0.0, lead)
    exact = np.log(np.maximum(near * norm.cdf(near) + norm.pdf(near), 1e-300))
    found: Array = np.where(far, norm.logpdf(lead) - 2 * np.log(np.abs(lead) + ~far), exact)
    return found


def _known(history: History, space: Space) -> list[PastTrial]:
    """Trials of this sweep whose cost is known, and whose settings lie in the space."""
    return [
        trial
        for trial in history.over
        if trial.clock
        and trial.seconds
        and all(parameter.contains(trial.settings.get(n)) for n, parameter in space.items())
    ]


def _score(trial: PastTrial) -> float:
    """The last score; -inf for a failure."""
    return -np.inf if trial.score is None else trial.score


def _quantiles(scores: Sequence[float]) -> Array:
    """Scores as normal quantiles of their ranks: no outlier matters."""
    ranks = rankdata(scores)
    found: Array = norm.ppf((ranks - 0.5) / len(ranks))
    return found


def _inputs(points: Sequence[Point]) -> Array:
    """As the process takes them: without time and return, which PB2's data have."""
    return np.array([[0.0, 0.0, *point.units, *point.options] for point in points])
