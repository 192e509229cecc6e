"""The tree-structured Parzen estimator of Optuna (Bergstra et al. 2011; Akiba et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from rltune.searchers.library import Cube, LibrarySearcher, Point, Tried
from rltune.spec import RunSpec

STATES = {"ended": TrialState.COMPLETE, "stopped": TrialState.PRUNED}


class OptunaSearcher(LibrarySearcher):
    """A sampler of Optuna's over a study that is made of the history.

    A trial that a scheduler stopped is a pruned one, with the scores of its reports; one that
    failed has no value, and one that runs is pending.
    """

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        self._distributions = distributions(self.cube)
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def sampler(self, seed: int) -> BaseSampler:
        """TPE over all settings together, which takes pending trials for bad ones."""
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Asks a study that holds the history."""
        study = optuna.create_study(direction="maximize", sampler=self.sampler(seed))
        study.add_trials([self._frozen(one) for one in tried])
        study.add_trials([self._trial(point, TrialState.RUNNING) for point in running])
        asked = study.ask(self._distributions).params
        return Point(
            tuple(asked[name] for name in self.cube.numbers),
            tuple(asked[name] for name in self.cube.choices),
        )

    def _frozen(self, tried: Tried) -> FrozenTrial:
        if tried.score is None:
            return self._trial(tried.point, TrialState.FAIL)
        scores = {clock: s for clock, s in tried.trial.scores.items() if s is not None}
        state = STATES.get(tried.trial.status, TrialState.COMPLETE)
        return self._trial(tried.point, state, value=tried.score, intermediate_values=scores)

    def _trial(self, point: Point, state: TrialState, **known: Any) -> FrozenTrial:
        params: dict[str, Any] = dict(zip(self.cube.numbers, point.units, strict=True))
        params |= zip(self.cube.choices, point.options, strict=True)
        return create_trial(state=state, params=params, distributions=self._distributions, **known)


def distributions(cube: Cube) -> dict[str, BaseDistribution]:
    """The cube in Optuna's terms."""
    numbers: dict[str, BaseDistribution] = {n: FloatDistribution(0.0, 1.0) for n in cube.numbers}
    return numbers | {n: CategoricalDistribution(range(k)) for n, k in cube.choices.items()}


def build(spec: RunSpec) -> OptunaSearcher:
    """TPE."""
    return OptunaSearcher(spec)
