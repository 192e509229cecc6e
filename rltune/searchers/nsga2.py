"""NSGA-II, a genetic algorithm for several objectives (Deb et al. 2002), as Optuna has it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial

from rltune.searchers.library import Tried
from rltune.searchers.optuna_study import OptunaSearcher
from rltune.spec import RunSpec

#: Trials of a generation. Optuna's 50 would be random search in a sweep of 50 trials.
POPULATION = 10


class NSGA2Searcher(OptunaSearcher):
    """Children of the best trials so far: those on the front, of these the ones that lie apart.

    A trial belongs to the generation that Optuna would have given it when it was suggested, which
    follows from the trials that had ended by then. One that failed is worse than all others.
    """

    def over(self, tried: Sequence[Tried]) -> list[FrozenTrial]:
        """Trials with the generation of each; proposals that break a constraint have none."""
        real = [one for one in tried if one.trial.id]
        trials = super().over(real)
        for trial, generation in zip(trials, generations(real), strict=True):
            trial.system_attrs[NSGAIISampler._get_generation_key()] = generation
        return trials


def generations(tried: Sequence[Tried], population: int = POPULATION) -> list[int]:
    """The generation of each trial: 0 for those of former runs and the first ones.

    A new generation begins once the one before has as many trials that have ended as a population.
    """
    found: list[int] = []
    ends = [one.trial.ended_before or 0 for one in tried]
    for one in tried:
        if "/" in one.trial.id:  # of a former run
            found.append(0)
            continue
        known = [g for g, end in zip(found, ends, strict=False) if end <= one.trial.setting]
        newest = max(known, default=0)
        found.append(newest + (known.count(newest) >= population))
    return found


def build(spec: RunSpec) -> NSGA2Searcher:
    """NSGA-II."""
    return NSGA2Searcher(spec, partial(sampler, POPULATION), prunes=False)


def sampler(population: int, seed: int) -> NSGAIISampler:
    """NSGA-II with uniform crossover."""
    return NSGAIISampler(population_size=population, seed=seed)
