"""Statistics of few runs: the interquartile mean, bootstrap intervals, probability of improvement.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv 2108.13264).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

BOOTSTRAP_RESAMPLES = 10_000
Interval = tuple[float, float]


def iqm(values: Any, axis: int = -1) -> Any:
    """The mean of the middle half, along an axis."""
    return stats.trim_mean(values, 0.25, axis=axis)


def interval(*samples: ArrayLike, of: Callable[..., Any] = np.mean) -> Interval:
    """95 % percentile bootstrap interval of a statistic, (low, high).

    Args:
        samples: each of shape (runs,), resampled each by itself.
        of: a vectorised function of the samples and ``axis``.
    """
    columns = [np.asarray(sample, dtype=float) for sample in samples]
    if all(len(column) < 2 or np.ptp(column) == 0 for column in columns):
        value = float(of(*columns, axis=-1))
        return value, value
    found = stats.bootstrap(
        columns,
        of,
        n_resamples=BOOTSTRAP_RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=0,
        batch=1_000,
    ).confidence_interval
    return float(found.low), float(found.high)


def better(ours: ArrayLike, theirs: ArrayLike) -> dict[str, Any]:
    """How sure it is that ours are better: ``probability``, see :func:`improvement`, and ``ci95``.

    Args:
        ours: scores, shape (n,); theirs: shape (m,).
    """
    return {
        "probability": float(improvement(ours, theirs)),
        "ci95": list(interval(ours, theirs, of=improvement)),
    }


def improvement(ours: Any, theirs: Any, axis: int = -1) -> Any:
    """The probability that a run of ours beats one of theirs; ties count half.

    Shapes (..., n) and (..., m), compared along the last axis.
    """
    a, b = np.asarray(ours)[..., :, None], np.asarray(theirs)[..., None, :]
    return ((a > b) + 0.5 * (a == b)).mean(axis=(-2, -1))
