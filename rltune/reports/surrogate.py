"""A model of what a search's trials came to: the score that other settings would have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rltune.reports.evidence import Evidence
from rltune.reports.plots.axes import position
from rltune.reports.run_view import RunView
from rltune.schedulers.gp import GaussianProcess
from rltune.space import Choice

Array = NDArray[np.float64]

#: Trials that a model takes, at least; and those that it takes at most.
FEWEST_TRIALS, MOST_TRIALS = 30, 150
#: Only trials that trained for this share of the longest are compared.
COVERED = 0.9
#: Share of the variance of scores left out that a model must explain to be believed.
BELIEVED = 0.5
#: Points that a maximum is looked for among.
DRAWS = 1_024


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process over the positions of settings in their ranges.

    Scores are normalised by the trials' 5th and 95th percentiles, 0 and 1, larger being better.

    Attributes:
        names: of the settings: ranges, then choices.
        defaults: the position of each one's default.
        explained: share of the variance of scores left out that it explains.
        source: whose trials these are, in words; empty for the run's own.
    """

    names: Sequence[str]
    defaults: Array
    explained: float
    source: str
    _process: GaussianProcess
    _points: Array
    _scale: tuple[float, float]

    @classmethod
    def of(cls, run: RunView) -> Surrogate | None:
        """Fits a model; None where the trials are too few, or do not tell enough to be believed."""
        evidence = Evidence.of(run, FEWEST_TRIALS)
        longest = max((of[0]["env_steps"] for of in evidence.trials), default=0)
        by_trial = [
            {row["setting"]: row["position"] for row in of} | {"": run.goal.score(of[0]["score"])}
            for of in evidence.trials
            if of[0]["env_steps"] >= COVERED * longest
            and all(row["position"] is not None for row in of)
        ]
        by_trial = by_trial[:: math.ceil(len(by_trial) / MOST_TRIALS) or 1]
        space = run.spec.space
        names = sorted(space, key=lambda name: isinstance(space[name], Choice))
        defaults = [position(space[name], run.spec.settings.get(name)) for name in names]
        known = [place for place in defaults if place is not None]
        if len(by_trial) < FEWEST_TRIALS or len(known) < len(names):
            return None
        points = np.array([[of[name] for name in names] for of in by_trial])
        scores = np.array([of[""] for of in by_trial])
        low, high = np.percentile(scores, [5, 95])
        if not np.isfinite(scores).all() or scores.std() == 0 or low == high:
            return None
        choices = sum(isinstance(space[name], Choice) for name in names)
        targets = (scores - scores.mean()) / scores.std()
        process = GaussianProcess(_inputs(points), targets, choices)
        explained = 1 - float(np.mean((process.left_out() - targets) ** 2))
        if explained < BELIEVED:
            return None
        unit = (scores.std() / (high - low), (scores.mean() - low) / (high - low))
        return cls(names, np.array(known), explained, evidence.source, process, points, unit)

    def score(self, points: Array) -> Array:
        """Normalised scores, shape ``(n,)``, of positions of shape ``(n, settings)``."""
        factor, shift = self._scale
        values: Array = self._process.mean(_inputs(points)) * factor + shift
        return values

    def candidates(self, tuned: Sequence[str]) -> Array:
        """Points that differ from the defaults in some settings alone.

        The trials' own values are among them, and draws of each range.
        """
        rng = np.random.default_rng(0)
        places = [self.names.index(name) for name in tuned]
        seen = self._points[rng.integers(len(self._points), size=(DRAWS, len(self.names)))]
        drawn = np.array([seen[:, place, place] for place in range(len(self.names))]).T
        points = np.tile(self.defaults, (1 + DRAWS + len(self._points), 1))
        points[1 : 1 + DRAWS, places] = drawn[:, places]
        points[1 + DRAWS :, places] = self._points[:, places]
        return points


def _inputs(points: Array) -> Array:
    """As the process takes them: without time and return, which PB2's data have."""
    return np.hstack([np.zeros((len(points), 2)), points])
