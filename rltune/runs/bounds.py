"""Which settings of an outcome lie on a bound of the range they were searched in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune.catalog.algorithms import ALGORITHMS
from rltune.catalog.settings import Number
from rltune.space import Choice, Log, Normal, Parameter
from rltune.spec import RunSpec

#: On a bound: within this share of the range, on the scale it is searched on.
NEAR = 0.01


def on_bounds(spec: RunSpec, values: Mapping[str, Any]) -> dict[str, str]:
    """The bound, "lowest" or "highest", by the name of each setting that lies on one.

    Only bounds that a user could move are counted: a choice has none, nor is one a limit of the
    setting itself, such as an entropy coefficient's 0 or a discount factor's 1.
    """
    marks = {}
    for name, parameter in spec.space.items():
        value = values.get(name)
        if isinstance(parameter, Choice | Normal) or not parameter.contains(value):
            continue
        low, high = parameter.ends()
        for word, bound in (("lowest", low), ("highest", high)):
            distance = abs(parameter.to_unit(value) - parameter.to_unit(bound))
            if low < high and distance <= NEAR and not _is_limit(spec, name, parameter, bound):
                marks[name] = word
    return marks


def _is_limit(spec: RunSpec, name: str, parameter: Parameter, bound: float) -> bool:
    """Whether no value beyond a bound makes sense."""
    algorithm = ALGORITHMS.get(spec.algo)
    setting = algorithm.settings.get(name) if algorithm else None
    if isinstance(setting, Number):
        return bound in (setting.low, setting.high)
    # What a function does with a value is not known: most that end at 0 or 1 are shares and counts.
    return bound in (0, 1) and not isinstance(parameter, Log)
