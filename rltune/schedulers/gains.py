"""What the intervals of a population say about the next one: PB2's model of the gain in return."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rltune.schedulers.gp import Array, GaussianProcess

#: A point as the model sees it (start in env_steps, return there, positions, categories), the
#: interval's length in env_steps, and its gain in return per step.
Interval = tuple[list[float], float, float]


class GainModel:
    """A Gaussian process over intervals, and draws of the gain from it.

    Args:
        rows: finished intervals, at least one, in the order of time.
        categories: how many of a point's last entries are categories.

    Attributes:
        rewards: the gain of each row, scaled to [0, 1].
    """

    def __init__(self, rows: Sequence[Interval], categories: int) -> None:
        points = np.array([point for point, _, _ in rows])
        self._interval = float(np.median([steps for _, steps, _ in rows]))
        self._low, self._high = np.quantile(points[:, 1], [0.05, 0.95])
        gains = _without_collapses(np.array([gain for _, _, gain in rows]))
        self.rewards: Array = _scale(gains, gains.min(), np.ptp(gains))
        targets = _scale(gains, gains.mean(), gains.std()).clip(-3.0, 3.0)
        self._process = GaussianProcess(self._inputs(points), targets, categories)

    def draw(self, points: Array, rng: np.random.Generator) -> Array:
        """One draw of the gains at points of shape ``(n, d)`` from the process: shape ``(n,)``."""
        mean, covariance = self._process.posterior(self._inputs(points))
        # By eigenvalues: the covariance of near points is singular but for rounding.
        gains: Array = rng.multivariate_normal(
            mean, covariance, method="eigh", check_valid="ignore"
        )
        return gains

    def _inputs(self, points: Array) -> Array:
        """Time in intervals, so that its decay means the same in every sweep; return about 0..1."""
        inputs = points.copy()
        inputs[:, 0] /= self._interval
        inputs[:, 1] = _scale(points[:, 1], self._low, self._high - self._low).clip(-0.5, 1.5)
        return inputs


def _without_collapses(gains: Array) -> Array:
    """Gains no further below the median than the best is above it.

    A policy that collapses loses more than any setting gains; beside such a loss all else would
    look alike.
    """
    middle = float(np.median(gains))
    reach = float(gains.max()) - middle
    return gains.clip(middle - (reach or float(gains.std())), None)


def _scale(values: Array, origin: float, unit: float) -> Array:
    """Values counted from an origin in a unit; all 0 where there is no unit."""
    scaled: Array = (values - origin) / unit if unit > 0 else np.zeros_like(values)
    return scaled
