"""HyperBand's brackets: how many trials start in each, and at which ages they are compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle
from math import ceil

from rltune.options import Budget


@dataclass(frozen=True)
class Bracket:
    """Trials that are compared with each other.

    Attributes:
        size: trials that start in it.
        milestones: ages of its rungs in environment steps, in rising order. Those that pass the
            last one train to their end.
    """

    size: int
    milestones: tuple[int, ...]


def one_round(budget: Budget) -> list[Bracket]:
    """The brackets of Li et al. 2018, algorithm 1, the one that stops earliest first.

    Each costs about as much as the others. The smallest age at which trials are compared is at
    least ``perturb_every``.
    """
    eta, steps = budget.reduction_factor, budget.steps
    deepest = 0
    while budget.perturb_every * eta ** (deepest + 1) <= steps:
        deepest += 1
    return [
        Bracket(
            size=ceil((deepest + 1) * eta**rungs / (rungs + 1)),
            milestones=tuple(steps // eta**k for k in range(rungs, 0, -1)),
        )
        for rungs in range(deepest, -1, -1)
    ]


def brackets(budget: Budget) -> list[Bracket]:
    """The brackets that the trials of a sweep fill: one round after the other.

    The last one may have fewer trials than it has room for.
    """
    filled: list[Bracket] = []
    left = budget.trials
    for bracket in cycle(one_round(budget)):
        if left <= 0:
            return filled
        filled.append(replace(bracket, size=min(bracket.size, left)))
        left -= bracket.size
    raise AssertionError("a round has at least one bracket")


def milestones(budget: Budget) -> list[int]:
    """Environment steps at which a trial of any bracket may be paused, in rising order."""
    return sorted({at for bracket in brackets(budget) for at in bracket.milestones})
