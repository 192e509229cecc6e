"""Parameters that are integers, each searched evenly on a scale of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from rltune.space.number import (
    PERTURB_FACTORS,
    Number,
    between,
    linear_step,
    not_positive,
    position_of,
    too_wide,
)
from rltune.space.values import is_number, is_pow2


@dataclass(frozen=True)
class Int(Number):
    """An integer, uniform between its bounds, both included; quantised, ``low + k * step``.

    Value number ``k`` has the part of the scale between ``_edge(k)`` and ``_edge(k + 1)``.
    """

    kind = "int"
    takes_step = True
    low: int
    high: int

    @classmethod
    def of(cls, domain: Any, **fields: Any) -> Self:
        return cls(*domain, **fields)

    @classmethod
    def _domain_problems(cls, low: float, high: float) -> list[str]:
        found = super()._domain_problems(low, high)
        if not (isinstance(low, int) and isinstance(high, int)):
            found.append(f"{cls.kind} = [{low}, {high}]: both bounds must be whole numbers")
        return found

    @classmethod
    def _step_problems(cls, low: float, high: float, step: Any) -> list[str]:
        if problems := super()._step_problems(low, high, step):
            return problems
        if not isinstance(step, int):
            return [f"step = {step}: the step of {cls.kind} must be a whole number"]
        return too_wide(low, high, step)

    def domain(self) -> list[Any]:
        return [self.low, self.high]

    @property
    def _spacing(self) -> int:
        return 1 if self.step is None else int(self.step)

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and is_number(value) and value == self._at(self._index(value))

    def to_unit(self, value: Any) -> float:
        at = self._at(self._index(value))
        middle = (self._to_scale(at) + self._to_scale(self._after(at))) / 2
        return position_of(middle, *self._ends_of_scale)

    def from_unit(self, unit: float) -> int:
        value = self._from_scale(between(unit, *self._ends_of_scale))
        return self._at(self._below(value))

    def neighbours(self, value: Any) -> tuple[int, ...]:
        return tuple(self._moved(value, target) for target in self._targets(value))

    @cached_property
    def _ends_of_scale(self) -> tuple[float, float]:
        return self._to_scale(self.low), self._to_scale(self._after(self._at(self._last)))

    def _bounds(self) -> tuple[float, float]:
        return self.low, self.high

    @cached_property
    def _last(self) -> int:
        return (self.high - self.low) // self._spacing

    def _after(self, value: int) -> int:
        """Returns the value after one, which may lie beyond the bound."""
        return value + self._spacing

    def _below(self, value: float) -> int:
        """Returns the number of the last value up to one."""
        return math.floor((value - self.low) / self._spacing)

    def _index(self, value: float) -> int:
        return min(max(round((value - self.low) / self._spacing), 0), self._last)

    def _at(self, index: int) -> int:
        return self.low + min(max(index, 0), self._last) * self._spacing

    def _targets(self, value: float) -> tuple[float, float]:
        step = max(1, round(linear_step(value, *self._bounds())))
        return value - step, value + step


@dataclass(frozen=True)
class LogInt(Int):
    """A positive integer, uniform in its logarithm (widths, numbers of steps)."""

    kind = "log_int"

    @classmethod
    def _domain_problems(cls, low: float, high: float) -> list[str]:
        return [*super()._domain_problems(low, high), *not_positive(cls.kind, low, high)]

    def _to_scale(self, value: float) -> float:
        return math.log(value)

    def _from_scale(self, position: float) -> float:
        return math.exp(position)

    def _targets(self, value: float) -> tuple[float, float]:
        return value * PERTURB_FACTORS[0], value * PERTURB_FACTORS[1]


@dataclass(frozen=True)
class Pow2(Int):
    """A power of two between its bounds, both included (batch sizes)."""

    kind = "pow2"
    takes_step = False

    @classmethod
    def _domain_problems(cls, low: float, high: float) -> list[str]:
        found = super()._domain_problems(low, high)
        if not found and not (is_pow2(int(low)) and is_pow2(int(high))):
            found.append(f"pow2 = [{low}, {high}]: both bounds must be powers of two")
        return found

    def _to_scale(self, value: float) -> float:
        return math.log2(value)

    def _from_scale(self, position: float) -> float:
        return float(2**position)

    @cached_property
    def _last(self) -> int:
        return round(math.log2(self.high / self.low))

    def _after(self, value: int) -> int:
        return value * 2

    def _below(self, value: float) -> int:
        return math.floor(math.log2(value / self.low))

    def _index(self, value: float) -> int:
        return round(math.log2(self._clip(value) / self.low))

    def _at(self, index: int) -> int:
        return self.low << min(max(index, 0), self._last)

    def _targets(self, value: float) -> tuple[float, float]:
        return value / 2, value * 2
