"""The preset's defaults first, then random draws."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.search import Searcher

from rltune.spec import MAX_TRIAL_SEED, RunSpec


class RandomSearcher(Searcher):
    """Configurations in a fixed order, drawn from the sweep's seed alone."""

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(metric=None, mode=None)
        self._spec = spec
        self._suggested = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The settings and the seed of the next trial."""
        if self._suggested >= self._spec.budget.trials:
            return str(Searcher.FINISHED)
        index = self._suggested
        self._suggested += 1
        return starting_point(self._spec, index)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing is learned from results."""

    def save(self, checkpoint_path: str) -> None:
        """Tune calls this with each snapshot of a sweep."""
        Path(checkpoint_path).write_bytes(pickle.dumps(self._suggested))

    def restore(self, checkpoint_path: str) -> None:
        """Goes on after the last trial handed out; the file is this sweep's own."""
        self._suggested = pickle.loads(Path(checkpoint_path).read_bytes())


def starting_point(spec: RunSpec, index: int) -> dict[str, Any]:
    """Settings and seed of a trial: a function of the sweep's seed and the trial's number alone."""
    rng = np.random.default_rng([spec.seed, 0, index])
    searched = spec.space.sample(rng, spec.settings)
    if index == 0:
        searched = {name: spec.settings[name] for name in spec.space}
    return {**spec.settings, **searched, "seed": int(rng.integers(MAX_TRIAL_SEED))}


def build(spec: RunSpec) -> RandomSearcher:
    """Random search with the preset's defaults as the first trial."""
    return RandomSearcher(spec)
