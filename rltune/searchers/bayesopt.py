"""A Gaussian process with an upper confidence bound, of the package ``bayesian-optimization``."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

import numpy as np
from bayes_opt import BayesianOptimization

from rltune.searchers.library import LibrarySearcher, Point, Tried, scores
from rltune.spec import RunSpec

try:
    from bayes_opt.util import UtilityFunction
except ImportError:  # since 2.0, where the same bound is the default
    UtilityFunction = None

#: Width of the confidence bound in standard deviations: the package's default.
KAPPA = 2.576
#: Variance of the noise of a score, as a share of the variance of all scores.
NOISE = 1e-2
#: Trials that are random draws, as in the package.
RANDOM = 5

Row = tuple[float, ...]


class BayesOptSearcher(LibrarySearcher):
    """A Gaussian process over the numbers, and over a number for each option of a choice.

    The option with the largest number is taken, as in the package since 3.0. A failure has the
    worst score of all. A trial that runs has the mean score: that lowers the uncertainty there.
    """

    proposals = 1

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        width = len(self.cube.numbers) + sum(self.cube.choices.values())
        self._bounds = {f"{n:03d}": (0.0, 1.0) for n in range(width)}

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Asks a process that holds the history."""
        if len(tried) < RANDOM:
            return self._point(np.random.default_rng(seed).random(len(self._bounds)))
        targets = scores(tried)
        points = [one.point for one in tried] + list(running)
        return self._point(self._ask(seed, points, targets + [fmean(targets)] * len(running)))

    def _ask(self, seed: int, points: Iterable[Point], targets: Iterable[float]) -> np.ndarray:
        search = BayesianOptimization(None, self._bounds, random_state=seed, verbose=0)
        search.set_gp_params(alpha=NOISE)
        known: dict[Row, list[float]] = defaultdict(list)
        for point, target in zip(points, targets, strict=True):
            known[self._row(point)].append(target)
        for row, several in known.items():
            search.register(dict(zip(self._bounds, row, strict=True)), fmean(several))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = search.suggest(*([UtilityFunction("ucb", KAPPA)] if UtilityFunction else []))
        return np.array([asked[name] for name in self._bounds])

    def _row(self, point: Point) -> Row:
        chosen = zip(point.options, self.cube.choices.values(), strict=True)
        return (*point.units, *(float(k == option) for option, n in chosen for k in range(n)))

    def _point(self, row: np.ndarray) -> Point:
        units, rest = np.split(row, [len(self.cube.numbers)])
        options = []
        for count in self.cube.choices.values():
            options.append(int(rest[:count].argmax()))
            rest = rest[count:]
        return Point(tuple(map(float, units)), tuple(options))


def build(spec: RunSpec) -> BayesOptSearcher:
    """BayesOpt."""
    return BayesOptSearcher(spec)
