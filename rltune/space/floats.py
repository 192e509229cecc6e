"""Parameters that are floats, each searched evenly on a scale of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from statistics import NormalDist
from typing import Any, Self

from rltune.space.number import (
    PERTURB_FACTORS,
    ROUNDING,
    Number,
    between,
    not_positive,
    position_of,
    too_wide,
)
from rltune.space.values import is_number

#: A normal distribution is cut off this many standard deviations from its mean: its range is
#: finite, and one draw in 1.7 million is moved.
TAILS = 5.0


@dataclass(frozen=True)
class _Float(Number):
    """A float; quantised, it is rounded to the nearest of ``origin + k * step``."""

    takes_step = True

    @property
    def _spacing(self) -> float:
        return float(self.step)

    @cached_property
    def _ends_of_scale(self) -> tuple[float, float]:
        low, high = self._bounds()
        return self._to_scale(low), self._to_scale(high)

    @cached_property
    def _digits(self) -> int:
        """Decimals of the values on the grid: 3 steps of 0.1 are 0.3, as a user writes it."""
        exponents = (Decimal(str(x)).as_tuple().exponent for x in (self._origin, self._spacing))
        return max(0, *(-int(exponent) for exponent in exponents))

    @property
    def _origin(self) -> float:
        return self._bounds()[0]

    @cached_property
    def _last(self) -> int:
        low, high = self._bounds()
        return math.floor((high - low) / self._spacing + ROUNDING)

    def _index(self, value: float) -> int:
        return min(max(round((value - self._origin) / self._spacing), 0), self._last)

    def _at(self, index: int) -> float:
        steps = min(max(index, 0), self._last)
        return self._clip(round(self._origin + steps * self._spacing, self._digits))

    def contains(self, value: Any) -> bool:
        low, high = self._bounds()
        if not is_number(value) or not math.isfinite(value):
            return False
        if self.step is None:
            return bool(low <= value <= high)
        return bool(abs(value - self._at(self._index(value))) <= ROUNDING * self._spacing)

    def to_unit(self, value: Any) -> float:
        return position_of(self._to_scale(self._clip(value)), *self._ends_of_scale)

    def from_unit(self, unit: float) -> float:
        value = self._clip(tidy(self._from_scale(between(unit, *self._ends_of_scale))))
        return value if self.step is None else self._at(self._index(value))

    def neighbours(self, value: Any) -> tuple[float, ...]:
        move = self._clipped if self.step is None else self._moved
        return tuple(move(value, target) for target in self._targets(value))

    def _clipped(self, value: float, target: float) -> float:
        return self._clip(tidy(target))


def tidy(value: float) -> float:
    """Rounds a float to 12 significant digits: 0.003, where arithmetic left 0.002999999999999999.

    >>> tidy(0.001 * 0.8), tidy(0.99)
    (0.0008, 0.99)
    """
    return float(f"{value:.12g}")


@dataclass(frozen=True)
class Uniform(_Float):
    """A float, uniform between its bounds."""

    kind = "uniform"
    low: float
    high: float

    @classmethod
    def of(cls, domain: Any, step: Any = None, **fields: Any) -> Self:
        low, high = map(float, domain)
        return cls(low, high, step=None if step is None else float(step), **fields)

    @classmethod
    def _step_problems(cls, low: float, high: float, step: Any) -> list[str]:
        return super()._step_problems(low, high, step) or too_wide(low, high, step)

    def domain(self) -> list[Any]:
        return [self.low, self.high]

    def _bounds(self) -> tuple[float, float]:
        return self.low, self.high


@dataclass(frozen=True)
class Log(Uniform):
    """A positive float, uniform in its logarithm (learning rates)."""

    kind = "log"

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
class OneMinusLog(Uniform):
    """A float below 1, uniform in the logarithm of its distance to 1 (gamma, lambda)."""

    kind = "one_minus_log"

    @classmethod
    def _domain_problems(cls, low: float, high: float) -> list[str]:
        found = super()._domain_problems(low, high)
        if not (low >= 0 and high < 1):
            found.append(f"one_minus_log = [{low}, {high}]: both bounds must lie in [0, 1)")
        return found

    def _to_scale(self, value: float) -> float:
        return -math.log1p(-value)

    def _from_scale(self, position: float) -> float:
        return -math.expm1(-position)

    def _targets(self, value: float) -> tuple[float, float]:
        return 1.0 - (1.0 - value) * PERTURB_FACTORS[0], 1.0 - (1.0 - value) * PERTURB_FACTORS[1]


@dataclass(frozen=True)
class Normal(_Float):
    """A normally distributed float, searched evenly in its quantiles.

    It is cut off :data:`TAILS` standard deviations from the mean. Quantised, it is rounded to a
    multiple of the step.
    """

    kind = "normal"
    pair = ("mean", "standard deviation")
    mean: float
    sd: float

    @classmethod
    def of(cls, domain: Any, step: Any = None, **fields: Any) -> Self:
        mean, sd = map(float, domain)
        return cls(mean, sd, step=None if step is None else float(step), **fields)

    @classmethod
    def _domain_problems(cls, low: float, high: float) -> list[str]:
        wrong = f"normal = [{low}, {high}]: the standard deviation must be above 0"
        return [] if high > 0 else [wrong]

    def domain(self) -> list[Any]:
        return [self.mean, self.sd]

    def _bounds(self) -> tuple[float, float]:
        return self.mean - TAILS * self.sd, self.mean + TAILS * self.sd

    def _to_scale(self, value: float) -> float:
        return NormalDist(self.mean, self.sd).cdf(value)

    def _from_scale(self, position: float) -> float:
        return NormalDist(self.mean, self.sd).inv_cdf(position)

    def _targets(self, value: float) -> tuple[float, float]:
        return value - self.sd / 2, value + self.sd / 2

    @property
    def _origin(self) -> float:
        return 0.0

    def _index(self, value: float) -> int:
        return round(self._clip(value) / self._spacing)

    def _at(self, index: int) -> float:
        first, last = (round(bound / self._spacing) for bound in self._bounds())
        return round(min(max(index, first), last) * self._spacing, self._digits)
