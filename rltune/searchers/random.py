"""The preset's defaults first, then random draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltune.searchers.counting import CountingSearcher
from rltune.spec import RunSpec


class RandomSearcher(CountingSearcher):
    """Configurations in a fixed order, drawn from the sweep's seed alone."""

    def at(self, index: int) -> dict[str, Any]:
        """The preset's own for the first trial, a draw for every other."""
        if index == 0:
            return {name: self.spec.settings[name] for name in self.spec.space}
        rng = np.random.default_rng([self.spec.seed, 0, index])
        return self.spec.space.sample(rng, self.spec.settings)


def build(spec: RunSpec) -> RandomSearcher:
    """Random search with the preset's defaults as the first trial."""
    return RandomSearcher(spec)
