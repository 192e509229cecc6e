"""HEBO (Cowen-Rivers et al. 2022): a Gaussian process of warped scores and three acquisitions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch  # noqa: F401  (before quiet, which puts its threads back)

from rltune.searchers.library import LibrarySearcher, Point, Tried, quiet, scores
from rltune.spec import RunSpec

with quiet(0), warnings.catch_warnings():  # The import leaves torch one thread.
    warnings.simplefilter("ignore")  # It has had no release since 2024.
    from hebo.design_space.design_space import DesignSpace
    from hebo.optimizers.hebo import HEBO


class HeboSearcher(LibrarySearcher):
    """HEBO, told every trial again for each suggestion; a failure has the worst score so far.

    It knows of no pending trials. Its proposal is drawn from the best trade-offs of three
    acquisitions, so that two in a row differ.
    """

    proposals = 1

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        numbers = [{"name": n, "type": "num", "lb": 0.0, "ub": 1.0} for n in self.cube.numbers]
        choices = [
            {"name": name, "type": "cat", "categories": list(range(count))}
            for name, count in self.cube.choices.items()
        ]
        self._design = DesignSpace().parse([*numbers, *choices])

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Asks a new HEBO that was told the history."""
        hebo = HEBO(self._design, scramble_seed=self._seed(0, 0))
        hebo.sobol.fast_forward(len(tried) + len(running))
        if tried:
            losses = -np.array(scores(tried)).reshape(-1, 1)
            hebo.observe_new_data(self._frame(tried), losses)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = hebo.suggest().iloc[0]
        return Point(
            tuple(float(row[name]) for name in self.cube.numbers),
            tuple(int(row[name]) for name in self.cube.choices),
        )

    def _frame(self, tried: Sequence[Tried]) -> pd.DataFrame:
        units = np.array([one.point.units for one in tried])
        options = np.array([one.point.options for one in tried], dtype=int)
        numbers = pd.DataFrame(units, columns=self.cube.numbers)
        return numbers.join(pd.DataFrame(options, columns=list(self.cube.choices)))


def build(spec: RunSpec) -> HeboSearcher:
    """HEBO."""
    return HeboSearcher(spec)
