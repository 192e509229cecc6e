"""A scrambled Sobol sequence (Owen 1998) over the unit cube of the space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats.qmc import Sobol

from rltune.errors import BadInput
from rltune.searchers.counting import CountingSearcher
from rltune.space import MAX_REJECTIONS
from rltune.spec import RunSpec


class SobolSearcher(CountingSearcher):
    """Points that fill the space evenly; those that break a constraint are passed over."""

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        self._points = self._allowed()
        self._drawn: list[dict[str, Any]] = []

    def at(self, index: int) -> dict[str, Any]:
        """The point of a number.

        Raises:
            BadInput: hardly a point of the space keeps its constraints.
        """
        while len(self._drawn) <= index:
            self._drawn.append(next(self._points))
        return self._drawn[index]

    def _allowed(self) -> Iterator[dict[str, Any]]:
        space = self.spec.space
        sequence = Sobol(max(1, len(space)), rng=np.random.default_rng([self.spec.seed, 0]))
        refused = 0
        while refused < MAX_REJECTIONS:
            # In powers of two, as the sequence is balanced.
            for unit in sequence.random(64):
                values = space.from_unit(unit[: len(space)])
                if space.broken({**self.spec.settings, **values}):
                    refused += 1
                else:
                    refused = 0
                    yield values
        raise BadInput(
            f"space: {MAX_REJECTIONS} points in a row break a constraint. Widen a range."
        )


def build(spec: RunSpec) -> SobolSearcher:
    """Quasi-random search."""
    return SobolSearcher(spec)
