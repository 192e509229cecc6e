"""Every combination of a few values of each setting, one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from rltune.errors import BadInput
from rltune.searchers.history import History
from rltune.space import Choice, Parameter, Space
from rltune.spec import RunSpec

#: Combinations, of those that break a constraint too, that are gone through at most.
MOST = 100_000


class GridSearcher:
    """Goes through a grid in order: the last setting of the space changes fastest.

    Raises:
        BadInput: the grid does not have one combination for each trial.
    """

    def __init__(self, spec: RunSpec) -> None:
        trials = spec.budget.trials - len(spec.points)
        self.points = grid(spec.space, spec.settings, trials)
        if len(self.points) != trials:
            beside = f", beside {len(spec.points)} given points" if spec.points else ""
            raise BadInput(
                f"searcher grid: the grid has {len(self.points)} combinations{beside}: set trials "
                f"to {len(self.points) + len(spec.points)}"
            )

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """Combination number ``number``."""
        return dict(self.points[number])


def grid(space: Space, fixed: Mapping[str, Any], trials: int) -> list[dict[str, Any]]:
    """The finest grid of at most ``trials`` combinations that keep the constraints.

    A choice has all its options on the grid. The other settings get one more value in turn, from
    bound to bound on their own scale. The coarsest grid may have more combinations than trials.

    Raises:
        BadInput: no combination keeps the constraints, or there are far too many.
    """
    levels = {name: _levels(parameter, 1) for name, parameter in space.items()}
    found = combinations(levels, space, fixed)
    growing = [name for name in space if not isinstance(space[name], Choice)]
    while growing:
        name = growing.pop(0)
        finer = {**levels, name: _levels(space[name], len(levels[name]) + 1)}
        if len(finer[name]) == len(levels[name]) or _size(finer) > min(MOST, 100 * trials):
            continue
        more = combinations(finer, space, fixed)
        if len(more) <= trials:
            levels, found = finer, more
            growing.append(name)
    if not found:
        raise BadInput("searcher grid: every combination breaks a constraint. Use random instead.")
    return found


def turns(spec: RunSpec) -> list[dict[str, Any]]:
    """Combinations of the grid parameters that trials take in turn; the preset's own come first.

    Without such parameters there is one combination, of nothing.

    Raises:
        BadInput: no combination keeps the constraints, or there are more than trials.
    """
    levels = {name: parameter.options for name, parameter in spec.space.grid().items()}
    fixed = {name: value for name, value in spec.settings.items() if name not in spec.space}
    found = combinations(levels, spec.space, fixed)
    if not found:
        raise BadInput("space: every combination of the grid breaks a constraint")
    trials = spec.budget.trials - len(spec.points)
    if levels and trials < len(found):
        beside = f", beside {len(spec.points)} given points" if spec.points else ""
        raise BadInput(
            f"space: the grid of {', '.join(levels)} has {len(found)} combinations{beside}: set "
            f"trials to {len(found) + len(spec.points)} or more, or write choice instead of grid"
        )
    own = {name: spec.settings.get(name) for name in levels}
    return sorted(found, key=lambda turn: turn != own)


def _levels(parameter: Parameter, count: int) -> list[Any]:
    """Values from bound to bound, without repetition; the default, or the middle, alone."""
    if isinstance(parameter, Choice):
        return list(parameter.options)
    if count == 1:
        default = parameter.default
        return [parameter.from_unit(0.5) if default is None else default]
    return list(dict.fromkeys(parameter.from_unit(n / (count - 1)) for n in range(count)))


def _size(levels: Mapping[str, Sequence[Any]]) -> int:
    return math.prod(len(values) for values in levels.values())


def combinations(
    levels: Mapping[str, Sequence[Any]], space: Space, fixed: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Combinations that keep the constraints, the last setting changing fastest.

    Raises:
        BadInput: there are far too many.
    """
    if _size(levels) > MOST:
        raise BadInput(f"searcher grid: the grid has {_size(levels)} combinations. Use random.")
    every = (dict(zip(levels, values, strict=True)) for values in product(*levels.values()))
    return [values for values in every if not space.broken({**fixed, **values})]


def build(spec: RunSpec) -> GridSearcher:
    """Grid search."""
    return GridSearcher(spec)
