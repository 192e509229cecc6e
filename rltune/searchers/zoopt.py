"""ZOOpt's sequential RACOS (Hu, Qian & Yu 2017; Liu et al. 2018): a classifier of good regions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from zoopt import Dimension, Parameter, Solution
from zoopt.algos.opt_algorithms.racos.sracos import SRacosTune
from zoopt.utils.tool_function import ToolFunction

from rltune.searchers.library import LibrarySearcher, Point, Tried
from rltune.spec import RunSpec

# ZOOpt prints; it has no other way to say something.
ToolFunction.log = staticmethod(logging.getLogger("zoopt").debug)

#: Draws until a point is a new one.
DRAWS = 20
#: Trials that ZOOpt wants at least.
LEAST_BUDGET = 4


class ZooptSearcher(LibrarySearcher):
    """RACOS, told every trial again for each suggestion.

    A new point is the best one with a setting drawn again, inside a box that no worse point lies
    in. A trial that runs counts as a worse point, so that no two trials search the same box.
    """

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        numbers, choices = len(self.cube.numbers), list(self.cube.choices.values())
        regions: list[list[float]] = [[0.0, 1.0]] * numbers + [[0, k - 1] for k in choices]
        # Not Dimension2, whose precisions are global: two searchers would mix theirs up.
        kinds = [True] * numbers + [False] * len(choices)
        self._dimension = Dimension(len(regions), regions, kinds)

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Asks a classifier that was told the history, until the point is a new one."""
        # The classifier never ends where a good point and a bad one are the same.
        known = {one.point: one.score for one in reversed(tried)}
        pending = [point for point in dict.fromkeys(running) if point not in known]
        proposals = self._proposals(dict(reversed(known.items())), pending)
        for _ in range(DRAWS):
            point = self.cube.snapped(next(proposals))
            if point not in known and point not in pending:
                break
        return point

    def _proposals(
        self, known: dict[Point, float | None], pending: Sequence[Point]
    ) -> Iterator[Point]:
        parameter = Parameter(budget=max(LEAST_BUDGET, self.spec.budget.trials))
        racos = SRacosTune(self._dimension, parameter, parallel_num=len(pending) + 1)
        for point, score in known.items():
            racos.complete(_solution(point), float("inf") if score is None else -score)
        racos.get_negative_data().extend(map(_solution, pending))
        while True:
            solution = None
            if len(known) >= parameter.get_train_size():
                solution, _ = racos.sample_solution(racos.ub)
            x = self._dimension.rand_sample() if solution is None else solution.get_x()
            numbers = len(self.cube.numbers)
            yield Point(tuple(map(float, x[:numbers])), tuple(map(int, x[numbers:])))


def _solution(point: Point) -> Solution:
    return Solution([*point.units, *point.options])


def build(spec: RunSpec) -> ZooptSearcher:
    """Sequential RACOS."""
    return ZooptSearcher(spec)
