"""A scrambled Sobol sequence (Owen 1998) over the unit cube of the space."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import numpy as np
from scipy.stats.qmc import Sobol

from rltune.errors import BadInput
from rltune.searchers.grid import turns
from rltune.searchers.history import History
from rltune.space import MAX_REJECTIONS
from rltune.spec import RunSpec


class SobolSearcher:
    """Points that fill the space evenly; those that break a constraint are passed over.

    The combinations of parameters of kind grid take turns.

    Raises:
        BadInput: no combination keeps the constraints, or there are more than trials.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self._turns = cycle(turns(spec))
        self._points = self._allowed()
        self._drawn: list[dict[str, Any]] = []

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """Point number ``number`` of the sequence.

        Raises:
            BadInput: hardly a point of the space keeps its constraints.
        """
        while len(self._drawn) <= number:
            self._drawn.append(next(self._points))
        return self._drawn[number]

    def _allowed(self) -> Iterator[dict[str, Any]]:
        space = self.spec.space
        sequence = Sobol(max(1, len(space)), rng=np.random.default_rng([self.spec.seed, 0]))
        turn, refused = next(self._turns), 0
        while refused < MAX_REJECTIONS:
            # In powers of two, as the sequence is balanced.
            for unit in sequence.random(64):
                values = {**space.from_unit(unit[: len(space)]), **turn}
                if space.broken({**self.spec.settings, **values}):
                    refused += 1
                else:
                    turn, refused = next(self._turns), 0
                    yield values
        raise BadInput(
            f"space: {MAX_REJECTIONS} points in a row break a constraint. Widen a range."
        )


def build(spec: RunSpec) -> SobolSearcher:
    """Quasi-random search."""
    return SobolSearcher(spec)
