"""What the samplers of Optuna share (Akiba et al. 2019): a study that is made of the history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from rltune.searchers.history import History, is_finite
from rltune.searchers.library import Cube, LibrarySearcher, Point, Tried, all_scores, scores
from rltune.searchers.random import RandomSearcher
from rltune.spec import RunSpec

#: Trials, running ones included, before a sampler proposes: Optuna's own number of random ones.
STARTUP = 10


class OptunaSearcher(LibrarySearcher):
    """A sampler of Optuna's over a study that is made of the history.

    Args:
        sampler: makes the sampler from a seed.
        prunes: whether the sampler knows pruned trials. If it does, a trial that a scheduler
            stopped is one, with the scores of its reports, and one that failed has none, which
            is worse than any. Otherwise a stopped trial counts with its last score, and one that
            failed with the worst of all. Of several objectives a pruned trial has no scores.
    """

    def __init__(self, spec: RunSpec, sampler: Callable[[int], BaseSampler], prunes: bool) -> None:
        super().__init__(spec)
        self._sampler, self._prunes = sampler, prunes
        self._draws = RandomSearcher(spec)
        self._distributions = distributions(self.cube)
        self._several = len(spec.goals) > 1
        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """Random search's own draws while few trials are known, then what the sampler proposes."""
        if len(self.tried(history)) + len(history.running) < STARTUP:
            return self._draws.suggest(number, history)
        return super().suggest(number, history)

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Asks a study that holds the history."""
        directions = [StudyDirection.MAXIMIZE] * len(self.spec.goals)
        study = optuna.create_study(directions=directions, sampler=self._sampler(seed))
        study.add_trials(self.over(tried))
        study.add_trials([self._trial(point, TrialState.RUNNING) for point in running])
        asked = study.ask(self._distributions).params
        return Point(
            tuple(asked[name] for name in self.cube.numbers),
            tuple(asked[name] for name in self.cube.choices),
        )

    def over(self, tried: Sequence[Tried]) -> list[FrozenTrial]:
        """Trials whose outcome is known, as the study holds them."""
        if not self._several:
            return list(map(self._over, tried, scores(tried)))
        known = all_scores(tried, len(self.spec.goals))
        worst = [min(column) for column in zip(*filter(None, known), strict=True)]
        worst = worst or [0.0] * len(self.spec.goals)
        return list(map(self._judged, tried, known, [worst] * len(tried)))

    def _over(self, tried: Tried, score: float) -> FrozenTrial:
        if self._prunes and tried.score is None:
            return self._trial(tried.point, TrialState.PRUNED)
        if self._prunes and tried.trial.status == "stopped":
            known = {clock: s for clock, s in tried.trial.scores.items() if is_finite(s)}
            return self._trial(tried.point, TrialState.PRUNED, intermediate_values=known)
        return self._trial(tried.point, TrialState.COMPLETE, value=score)

    def _judged(self, tried: Tried, known: list[float] | None, worst: list[float]) -> FrozenTrial:
        """A trial of a study with several objectives."""
        if self._prunes and (known is None or tried.trial.status == "stopped"):
            return self._trial(tried.point, TrialState.PRUNED)
        return self._trial(tried.point, TrialState.COMPLETE, values=known or worst)

    def _trial(self, point: Point, state: TrialState, **known: Any) -> FrozenTrial:
        params: dict[str, Any] = dict(zip(self.cube.numbers, point.units, strict=True))
        params |= zip(self.cube.choices, point.options, strict=True)
        return create_trial(state=state, params=params, distributions=self._distributions, **known)


def distributions(cube: Cube) -> dict[str, BaseDistribution]:
    """The cube in Optuna's terms."""
    numbers: dict[str, BaseDistribution] = {n: FloatDistribution(0.0, 1.0) for n in cube.numbers}
    return numbers | {n: CategoricalDistribution(range(k)) for n, k in cube.choices.items()}
