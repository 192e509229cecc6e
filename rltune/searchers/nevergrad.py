"""Nevergrad's CMA-ES with a diagonal covariance matrix (Ros & Hansen 2008).

Of Nevergrad's optimisers it had the least regret after 30 and after 100 trials of two quadratic
tables with a choice. NGOpt, its own default, raises on numpy 2.4: its surrogate model converts an
array to a number. It also searches in threads, for as long as a clock allows, so that equal seeds
would not make equal suggestions.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rltune.searchers.library import Point, SequentialSearcher, quiet
from rltune.spec import RunSpec

with quiet(0):  # The import seeds numpy's global generator.
    import nevergrad


class NevergradSearcher(SequentialSearcher):
    """CMA-ES, asked and told in the order in which trials started and ended.

    A candidate is pending from the question to the answer. A failure has the worst score so far:
    before the first score, which may be of any size, it stays pending.
    """

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        self._worst: float | None = None
        self._held: list[Any] = []

    def start(self, seed: int) -> None:
        """Begins again in the middle of the cube."""
        numbers = [nevergrad.p.Scalar(lower=0.0, upper=1.0) for _ in self.cube.numbers]
        choices = [nevergrad.p.Choice(range(k)) for k in self.cube.choices.values()]
        cube = nevergrad.p.Tuple(*numbers, *choices)
        cube.random_state.seed(seed)
        # CMA-ES needs two dimensions. A family of our own: its settings would be global otherwise.
        family = (
            nevergrad.families.ParametrizedCMA(diagonal=True)
            if cube.dimension > 1
            else nevergrad.families.ParametrizedOnePlusOne()
        )
        self._optimizer = family(cube, self.spec.budget.trials)
        self._asked: defaultdict[Point, list[Any]] = defaultdict(list)
        self._worst, self._held = None, []

    def ask(self) -> Point:
        """The optimiser's next candidate, which is pending until it is told."""
        candidate = self._optimizer.ask()
        numbers = len(self.cube.numbers)
        units, options = candidate.value[:numbers], candidate.value[numbers:]
        point = Point(tuple(map(float, units)), tuple(map(int, options)))
        self._asked[self.cube.snapped(point)].append(candidate)
        return point

    def tell(self, point: Point, score: float | None) -> None:
        """Passes on a loss; that of a failure is the worst so far, as soon as there is one."""
        candidate = self._candidate(point)
        if score is not None:
            self._worst = score if self._worst is None else min(self._worst, score)
        if self._worst is None:
            self._held.append(candidate)
            return
        for failure in self._held:
            self._optimizer.tell(failure, -self._worst)
        self._held = []
        self._optimizer.tell(candidate, -(self._worst if score is None else score))

    def _candidate(self, point: Point) -> Any:
        """The one that was asked for at a point; a new one where none is pending."""
        if asked := self._asked[point]:
            return asked.pop(0)
        cube = self._optimizer.parametrization
        return cube.spawn_child(new_value=(*point.units, *point.options))


def build(spec: RunSpec) -> NevergradSearcher:
    """Diagonal CMA-ES."""
    return NevergradSearcher(spec)
