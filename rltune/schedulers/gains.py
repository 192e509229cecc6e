"""What the intervals of a population say about the next one: PB2's model of the gain in return."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from rltune.schedulers.gp import Array, GaussianProcess

#: A point as the model sees it (start in env_steps, return there, positions, categories), the
#: interval's length in env_steps, and its gain in return per step.
Interval = tuple[list[float], float, float]

#: Constants of the acquisition's weight of doubt (Parker-Holder et al. 2020, as published in code).
C1, C2 = 0.2, 0.4
#: Step of the acquisition's numeric gradient, on the unit cube.
STEP = 1e-4


class GainModel:
    """A Gaussian process over intervals, and the acquisition built on it.

    Args:
        rows: finished intervals, at least one, in the order of time.
        pending: points under way, as the rows have them.
        categories: how many of a point's last entries are categories.

    Attributes:
        rewards: the gain of each row, scaled to [0, 1].
    """

    def __init__(
        self, rows: Sequence[Interval], pending: Sequence[list[float]], categories: int
    ) -> None:
        points = np.array([point for point, _, _ in rows])
        self._interval = float(np.median([steps for _, steps, _ in rows]))
        self._low, self._high = np.quantile(points[:, 1], [0.05, 0.95])
        gains = _without_collapses(np.array([gain for _, _, gain in rows]))
        self.rewards: Array = _scale(gains, gains.min(), np.ptp(gains))
        targets = _scale(gains, gains.mean(), gains.std()).clip(-3.0, 3.0)
        self._process = GaussianProcess(self._inputs(points), targets, categories)
        self._busy = self._process
        if pending:
            self._busy = self._process.with_pending(self._inputs(np.array(pending)))
        self._doubt = np.sqrt(C1 + max(0.0, np.log(C2 * len(rows))))

    def acquisition(self, points: Array) -> Array:
        """The upper confidence bound of the gain at points of shape ``(n, d)``: shape ``(n,)``."""
        inputs = self._inputs(points)
        mean, _ = self._process.predict(inputs)
        _, deviation = self._busy.predict(inputs)
        bound: Array = mean + self._doubt * deviation
        return bound

    def climb(self, point: Array, ordered: slice) -> Array:
        """The acquisition's local maximum from a point, over the positions in some columns."""
        if not len(point[ordered]):
            return point

        def loss(units: Array) -> tuple[float, Array]:
            # At a face of the cube the step goes inwards.
            steps = np.where(units + STEP > 1.0, -STEP, STEP)
            points = np.tile(point, (len(units) + 1, 1))
            points[:, ordered] = np.vstack([units, units + np.diag(steps)])
            values = -self.acquisition(points)
            return float(values[0]), (values[1:] - values[0]) / steps

        found = minimize(
            loss,
            point[ordered],
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1.0)] * len(point[ordered]),
            options={"maxiter": 30},
        )
        top = point.copy()
        top[ordered] = found.x
        return top

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
