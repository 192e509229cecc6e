"""The preset's defaults first, then random draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltune.searchers.grid import turns
from rltune.searchers.history import History
from rltune.spec import RunSpec


class RandomSearcher:
    """Configurations in a fixed order, drawn from the sweep's seed alone.

    Parameters of kind grid are not drawn: their combinations take turns.

    Raises:
        BadInput: no combination keeps the constraints, or there are more than trials.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self._turns = turns(spec)
        self._drawn = spec.space.only(spec.space.keys() - spec.space.grid().keys())

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """The preset's own for the first trial, a draw for every other."""
        space, turn = self.spec.space, self._turns[number % len(self._turns)]
        fixed = {**self.spec.settings, **turn}
        if number == 0 and not space.broken(fixed):
            return {name: fixed[name] for name in space}
        rng = np.random.default_rng([self.spec.seed, 0, number])
        values = {**turn, **self._drawn.sample(rng, fixed)}
        return {name: values[name] for name in space}


def build(spec: RunSpec) -> RandomSearcher:
    """Random search with the preset's defaults as the first trial."""
    return RandomSearcher(spec)
