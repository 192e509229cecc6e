"""Statistics of a few runs: interquartile mean, worst tenth, intervals, improvement.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv 2108.13264).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

BOOTSTRAP_RESAMPLES = 10_000
#: Fewest values that have an interval. A percentile interval lies within the range of its values,
#: which holds their median with a probability of 1 - 2 ** (1 - n): 50 % of two values, 75 % of
#: three, 94 % of five.
FEWEST_VALUES = 5
#: Fewest values with a worst tenth: one of them.
FEWEST_OF_TENTH = 10
Interval = tuple[float, float]


def iqm(values: Any, axis: int = -1) -> Any:
    """Computes the interquartile mean: the mean of the middle half, along an axis.

    >>> float(iqm([0.0, 10.0, 20.0, 90.0]))
    15.0
    """
    return stats.trim_mean(values, 0.25, axis=axis)


def worst_tenth(values: Any, axis: int = -1) -> Any:
    """Computes the mean of the smallest tenth along an axis: the conditional value at risk.

    A value that a tenth holds in part counts in part (Rockafellar and Uryasev 2002, "Conditional
    value-at-risk for general loss distributions").

    >>> float(worst_tenth(range(20))), float(worst_tenth(range(15)))
    (0.5, 0.3333333333333333)
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=axis)
    tenth = ordered.shape[axis] / 10
    weights = np.clip(tenth - np.arange(ordered.shape[axis]), 0, 1) / tenth
    return np.moveaxis(ordered, axis, -1) @ weights


def share_interval(successes: int, of: int) -> Interval:
    """Computes the 95 % interval of a share after Wilson (1927), (low, high).

    >>> low, high = share_interval(1, 100)
    >>> round(low, 4), round(high, 4)
    (0.0018, 0.0545)
    """
    found = stats.binomtest(successes, of).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def interval(*samples: ArrayLike, of: Callable[..., Any] = np.mean) -> Interval:
    """Computes the 95 % percentile bootstrap interval of a statistic, (low, high).

    >>> interval([3.0] * 10)
    (3.0, 3.0)
    >>> low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0], of=iqm)
    >>> 1.0 <= low < 3.0 < high <= 5.0
    True
    >>> interval([3.0, 3.0])
    (nan, nan)

    Args:
        samples: arrays of shape (runs,); each is resampled independently.
        of: vectorised function of the samples and ``axis``.

    Returns:
        NaN for both where a sample has fewer than :data:`FEWEST_VALUES`.
    """
    columns = [np.asarray(sample, dtype=float) for sample in samples]
    if min(map(len, columns)) < FEWEST_VALUES:
        return math.nan, math.nan
    if all(np.ptp(column) == 0 for column in columns):
        value = float(of(*columns, axis=-1))
        return value, value
    bounds = stats.bootstrap(
        columns,
        of,
        n_resamples=BOOTSTRAP_RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=0,
        batch=1_000,
    ).confidence_interval
    return float(bounds.low), float(bounds.high)


def higher(differences: ArrayLike) -> float:
    """Computes how sure it is that a mean of paired differences is above 0, by the bootstrap.

    >>> higher([1.0, 2.0, 1.5, 3.0, 2.0]), higher([0.0] * 5), higher([1.0])
    (1.0, 0.5, nan)

    Args:
        differences: shape (n,).

    Returns:
        The share of resamples whose mean is above 0, those at 0 count half; NaN of fewer than
        :data:`FEWEST_VALUES`.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < FEWEST_VALUES:
        return math.nan
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(values), size=(BOOTSTRAP_RESAMPLES, len(values)))
    means = values[drawn].mean(axis=1)
    return float(np.mean(means > 0) + np.mean(means == 0) / 2)


def better(ours: ArrayLike, theirs: ArrayLike) -> dict[str, Any]:
    """Computes :func:`improvement` as ``probability`` and its 95 % bootstrap interval as ``ci95``.

    >>> better([2.0, 2.0], [1.0, 1.0])
    {'probability': 1.0, 'ci95': [nan, nan]}

    Args:
        ours: scores, shape (n,).
        theirs: scores, shape (m,).
    """
    return {
        "probability": float(improvement(ours, theirs)),
        "ci95": list(interval(ours, theirs, of=improvement)),
    }


def beats(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Computes the one-sided p-value that runs of ours are better (Mann and Whitney 1947), exactly.

    >>> round(beats([5.0, 6.0, 7.0, 8.0, 9.0], [0.0, 1.0, 2.0, 3.0, 4.0]), 4)
    0.004
    >>> beats([1.0, 1.0], [1.0, 1.0])
    1.0

    Args:
        ours: scores, shape (n,), larger is better.
        theirs: scores, shape (m,).

    Returns:
        The share of the ways to deal all scores out to both sides in which ours do as well or
        better; of very many ways of a sample of them. NaN where one side has none.
    """
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if not len(a) or not len(b):
        return math.nan
    dealt = stats.PermutationMethod(n_resamples=9_999, rng=np.random.default_rng(0))
    found = stats.mannwhitneyu(a, b, alternative="greater", method=dealt)
    return float(found.pvalue)


def behind_best(samples: ArrayLike) -> NDArray[np.float64]:
    """Computes the p-values of the differences of each mean to the highest one.

    Values of one column belong together, as those of methods on the same seed do: what they have in
    common cancels out. It is Tukey's range test (1949) with the variance of each pair's own
    differences, so that some may vary more than others. The p-values hold for all pairs together,
    the best may be chosen after looking. Of five kinds with equal means, one is called worse at
    0.05 in 2 to 11 % of cases, in up to 15 % where values are skewed and two kinds vary much more
    than the others. Of values that are all or nothing it is up to 48 % with three columns, in which
    rare failures do not show, and 6 % with ten (scripts/bench_races.py).

    >>> p = behind_best([[9.0, 10.0, 11.0], [9.1, 10.0, 10.8], [0.0, 1.0, 2.5]])
    >>> bool(p[0] == 1.0), bool(p[1] > 0.5), bool(p[2] < 0.05)
    (True, True, True)

    Args:
        samples: shape (kinds, n), of two values or more each, larger is better.

    Returns:
        Shape (kinds,), two-sided.
    """
    values = np.asarray(samples, dtype=float)
    kinds, count = values.shape
    gaps = values[values.mean(axis=1).argmax()] - values
    with np.errstate(over="ignore"):
        means, spreads = gaps.mean(axis=1), gaps.std(axis=1, ddof=1)
    # Where the difference never varies, any is one.
    found = np.where((spreads == 0) & (means != 0), 0.0, 1.0)
    varies = spreads > 0
    ranges = np.sqrt(2 * count) * np.abs(means[varies]) / spreads[varies]
    found[varies] = stats.studentized_range.sf(ranges, kinds, count - 1)
    return found


def best_of(values: ArrayLike, count: int) -> tuple[float, Interval]:
    """Predicts the best of ``count`` further runs from a few of the same kind.

    The runs are taken to be normal with a mean and a spread that only the few tell. Where they are,
    the best of further ones lies in the interval in 95 % of all cases, however few there are: with
    fewer it is wider.

    >>> middle, (low, high) = best_of([9.0, 10.0, 11.0], 8)
    >>> low < 10 < middle < high
    True

    Args:
        values: shape (n,), larger is better, at least two.

    Returns:
        The median of the best, and the 95 % prediction interval.
    """
    known = np.asarray(values, dtype=float)
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((BOOTSTRAP_RESAMPLES, len(known)))
    best = rng.standard_normal((BOOTSTRAP_RESAMPLES, count)).max(axis=1)
    ahead = (best - drawn.mean(axis=1)) / drawn.std(axis=1, ddof=1)
    low, middle, high = known.mean() + known.std(ddof=1) * np.quantile(ahead, [0.025, 0.5, 0.975])
    return float(middle), (float(low), float(high))


def improvement(ours: Any, theirs: Any, axis: int = -1) -> Any:
    """Computes the probability that a run of ours beats one of theirs; ties count half.

    The shapes are (..., n) and (..., m), compared along the last axis.

    >>> float(improvement([3.0, 2.0], [1.0, 2.0]))
    0.875
    """
    a, b = np.asarray(ours)[..., :, None], np.asarray(theirs)[..., None, :]
    return ((a > b) + 0.5 * (a == b)).mean(axis=(-2, -1))
