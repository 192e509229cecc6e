"""Axes of figures: a setting is drawn on the scale that it is searched on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rltune.metric import RETURN, Metric
from rltune.reports.numbers import setting
from rltune.space import Choice, Parameter

#: Ticks of the unit interval that a range is drawn on.
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: How far a tick may be moved to a rounder value.
NEAR = 0.07


@dataclass(frozen=True)
class Axes:
    """What a figure needs to know beside its rows.

    Attributes:
        goal: the metric that was tuned.
        space: what was searched.
        clock: what a trial's steps are, in words.
    """

    goal: Metric = RETURN
    space: Mapping[str, Parameter] = field(default_factory=dict)
    clock: str = "environment steps"

    def of(self, name: str) -> dict[str, Any]:
        """The axis of a setting's :func:`position`, with its values at the ticks."""
        ticks, shown = self.ticks(name)
        return {"tickvals": ticks, "ticktext": shown, "range": [-0.06, 1.06]}

    def ticks(self, name: str) -> tuple[list[float], list[str]]:
        """Positions on a setting's scale, and what it is there."""
        parameter = self.space[name]
        if isinstance(parameter, Choice):
            options = parameter.domain()
            return [parameter.to_unit(one) for one in options], [setting(one) for one in options]
        values = list(dict.fromkeys(_roundest(parameter, tick) for tick in TICKS))
        return [parameter.to_unit(one) for one in values], [setting(one) for one in values]


def _roundest(parameter: Parameter, tick: float) -> Any:
    """The value near a place of a scale that is the shortest to write; the ends as they are."""
    value = parameter.from_unit(tick)
    if tick in (0.0, 1.0) or not isinstance(value, float):
        return value
    base = 1.0 if 0.9 < value < 1 else 0.0  # of a discount factor, the distance to 1 is round
    for digits in (1, 2, 3):
        rounded = base + float(f"{value - base:.{digits}g}")
        near = (
            abs(parameter.to_unit(rounded) - tick) < NEAR if parameter.contains(rounded) else False
        )
        if near:
            return rounded
    return value


def position(parameter: Parameter, value: Any) -> float | None:
    """Where a value lies on its parameter's scale, in [0, 1]; None outside of its domain."""
    return float(parameter.to_unit(value)) if parameter.contains(value) else None
