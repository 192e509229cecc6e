"""The preset's defaults first, then random draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltune.searchers.history import History
from rltune.spec import RunSpec


class RandomSearcher:
    """Configurations in a fixed order, drawn from the sweep's seed alone."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """The preset's own for the first trial, a draw for every other."""
        if number == 0:
            return {name: self.spec.settings[name] for name in self.spec.space}
        rng = np.random.default_rng([self.spec.seed, 0, number])
        return self.spec.space.sample(rng, self.spec.settings)


def build(spec: RunSpec) -> RandomSearcher:
    """Random search with the preset's defaults as the first trial."""
    return RandomSearcher(spec)
