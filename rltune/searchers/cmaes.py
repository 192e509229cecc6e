"""CMA-ES for numbers and choices (Hansen 2016; Hamano et al. 2025), of the package ``cmaes``."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from cmaes import CatCMAwM

from rltune.searchers.library import Point, SequentialSearcher
from rltune.spec import RunSpec

#: First standard deviation of each number, of whose range it is a quarter.
SIGMA = 0.25
#: Draws that break a constraint before the last one is repaired.
DRAWS = 100


class CmaesSearcher(SequentialSearcher):
    """CatCMA: a normal distribution of the numbers, a categorical one of each choice.

    The method knows neither trials that run nor points that it has not drawn. Each proposal is a
    draw from the distribution, which moves when as many of its draws are over as a generation has.
    Given points and former runs count once: it starts at the best of those that are known then,
    or at the defaults. It compares ranks only, and failures share the last.
    """

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        #: What has but one option is not searched.
        self._counts = [count for count in self.cube.choices.values() if count > 1]

    def start(self, seed: int) -> None:
        """Begins a new search, whose distribution is made at the first proposal."""
        self._seeded = seed
        self._search: CatCMAwM | None = None
        self._best: tuple[float, Point] | None = None
        self._drawn: defaultdict[Point, list[CatCMAwM.Solution]] = defaultdict(list)
        self._over: list[tuple[CatCMAwM.Solution, float]] = []

    def ask(self) -> Point:
        """Draws until a point keeps the constraints."""
        if self._search is None:
            self._search = self._at_the_best()
        for _ in range(DRAWS):
            solution = self._search.ask()
            point = self._point(solution)
            if not self.breaks(self.cube.decode(point)):
                break
        self._drawn[self.cube.snapped(point)].append(solution)
        return point

    def _point(self, solution: CatCMAwM.Solution) -> Point:
        units = () if solution.x is None else solution.x
        indices = iter(() if solution.c is None else solution.c.argmax(axis=1))
        options = (next(indices) if n > 1 else 0 for n in self.cube.choices.values())
        return Point(tuple(map(float, units)), tuple(map(int, options)))

    def tell(self, point: Point, score: float | None) -> None:
        """Notes the outcome; moves the distribution when a generation is over."""
        if self._search is None:
            if score is not None and (self._best is None or score > self._best[0]):
                self._best = score, point
        elif self._drawn[point]:
            solution = self._drawn[point].pop(0)
            self._over.append((solution, float("inf") if score is None else -score))
            if len(self._over) == self._search.population_size:
                ranked = sorted(self._over, key=lambda one: one[1])
                self._over = []
                if ranked[0][1] < float("inf"):
                    self._search.tell([(one, float(rank)) for rank, (one, _) in enumerate(ranked)])

    def _at_the_best(self) -> CatCMAwM:
        numbers = len(self.cube.numbers)
        if self._best is None:
            units = [self.space[n].to_unit(self.spec.settings[n]) for n in self.cube.numbers]
        else:
            units = list(self._best[1].units)
        return CatCMAwM(
            x_space=[[0.0, 1.0]] * numbers or None,
            c_space=self._counts or None,
            mean=np.array(units),
            sigma=SIGMA,
            cov=np.eye(numbers),
            seed=self._seeded,
        )


def build(spec: RunSpec) -> CmaesSearcher:
    """CMA-ES."""
    return CmaesSearcher(spec)
