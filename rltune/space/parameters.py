"""Kinds of parameters. Each knows its domain, its scale and the step PBT takes on it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rltune.space.values import is_number, is_pow2, same

#: Factors of PBT's explore step (Jaderberg et al. 2017, section 4.1).
PERTURB_FACTORS = (0.8, 1.2)
#: A step on a linear scale is a fifth of the value, as with those factors, but at least the first
#: share of the range (0 times 1.2 would stay 0) and at most the second (100 in [99, 101]).
STEP_SHARES = (0.05, 0.5)


@dataclass(frozen=True)
class Parameter(ABC):
    """One searched setting.

    Attributes:
        default: value used outside a search, inside the domain; None if there is none.
    """

    kind: ClassVar[str]
    default: Any = field(default=None, kw_only=True)

    @abstractmethod
    def to_unit(self, value: Any) -> float:
        """Maps a value to its position on [0, 1], in the parameter's own scale."""

    @abstractmethod
    def from_unit(self, unit: float) -> Any:
        """Maps a position on [0, 1] to its value; positions outside are clipped."""

    @abstractmethod
    def contains(self, value: Any) -> bool:
        """Returns whether a value lies in the domain."""

    @abstractmethod
    def neighbours(self, value: Any) -> tuple[Any, ...]:
        """Returns the values one PBT step down and one step up, clipped to the domain."""

    @abstractmethod
    def domain(self) -> list[Any]:
        """Returns ``[low, high]``, or the options of a choice, as written in TOML."""

    def ends(self) -> list[Any]:
        """Returns values that are allowed if and only if the whole domain is allowed."""
        return [self.from_unit(0.0), self.from_unit(1.0)]

    def sample(self, rng: np.random.Generator) -> Any:
        """Draws a value uniformly on the parameter's own scale."""
        return self.from_unit(float(rng.random()))

    def perturb(self, value: Any, rng: np.random.Generator) -> Any:
        """Moves a value one PBT step up or down; at a bound, away from the bound.

        Returns the value itself if the domain holds no other.
        """
        value = value if self.contains(value) else self.nearest(value)
        others = [other for other in self.neighbours(value) if not same(other, value)]
        return others[int(rng.integers(len(others)))] if others else value

    def nearest(self, value: Any) -> Any:
        """Returns the value of the domain closest to a value outside it."""
        return self.from_unit(self.to_unit(value))

    def to_dict(self) -> dict[str, Any]:
        """Returns the TOML form."""
        body: dict[str, Any] = {self.kind: self.domain()}
        return body if self.default is None else {**body, "default": self.default}


@dataclass(frozen=True)
class _Range(Parameter):
    low: float
    high: float

    def domain(self) -> list[Any]:
        return [self.low, self.high]

    def contains(self, value: Any) -> bool:
        return is_number(value) and self.low <= value <= self.high

    def _scaled(self, unit: float, low: float, high: float) -> float:
        return low + min(max(unit, 0.0), 1.0) * (high - low)

    def _position(self, value: float, low: float, high: float) -> float:
        return 0.0 if high == low else min(max((value - low) / (high - low), 0.0), 1.0)

    def _clip(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def _step(self, value: float) -> float:
        """Returns the length of a PBT step on a linear scale."""
        least, most = (share * (self.high - self.low) for share in STEP_SHARES)
        return min(max(abs(value) * (PERTURB_FACTORS[1] - 1.0), least), most)


@dataclass(frozen=True)
class Uniform(_Range):
    """A float, uniform between its bounds."""

    kind = "uniform"

    def to_unit(self, value: Any) -> float:
        return self._position(value, self.low, self.high)

    def from_unit(self, unit: float) -> float:
        return self._clip(self._scaled(unit, self.low, self.high))

    def neighbours(self, value: Any) -> tuple[float, ...]:
        step = self._step(value)
        return self._clip(value - step), self._clip(value + step)


@dataclass(frozen=True)
class Log(_Range):
    """A positive float, uniform in its logarithm (learning rates)."""

    kind = "log"

    def to_unit(self, value: Any) -> float:
        value = self._clip(value)
        return self._position(math.log(value), math.log(self.low), math.log(self.high))

    def from_unit(self, unit: float) -> float:
        return self._clip(math.exp(self._scaled(unit, math.log(self.low), math.log(self.high))))

    def neighbours(self, value: Any) -> tuple[float, ...]:
        return tuple(self._clip(value * factor) for factor in PERTURB_FACTORS)


@dataclass(frozen=True)
class OneMinusLog(_Range):
    """A float below 1, uniform in the logarithm of its distance to 1 (gamma, lambda)."""

    kind = "one_minus_log"

    def to_unit(self, value: Any) -> float:
        value = self._clip(value)
        return self._position(-math.log1p(-value), -math.log1p(-self.low), -math.log1p(-self.high))

    def from_unit(self, unit: float) -> float:
        return self._clip(
            -math.expm1(-self._scaled(unit, -math.log1p(-self.low), -math.log1p(-self.high)))
        )

    def neighbours(self, value: Any) -> tuple[float, ...]:
        return tuple(self._clip(1.0 - (1.0 - value) * factor) for factor in PERTURB_FACTORS)


@dataclass(frozen=True)
class Int(_Range):
    """An integer, uniform between its bounds, both included."""

    kind = "int"

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and super().contains(value)

    def to_unit(self, value: Any) -> float:
        return self._position(value + 0.5, self.low, self.high + 1)

    def from_unit(self, unit: float) -> int:
        return int(self._clip(math.floor(self._scaled(unit, self.low, self.high + 1))))

    def neighbours(self, value: Any) -> tuple[int, ...]:
        step = max(1, round(self._step(value)))
        return int(self._clip(value - step)), int(self._clip(value + step))


@dataclass(frozen=True)
class Pow2(_Range):
    """A power of two between its bounds, both included (batch sizes)."""

    kind = "pow2"

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and super().contains(value) and is_pow2(value)

    def to_unit(self, value: Any) -> float:
        value = self._clip(value)
        return self._position(math.log2(value) + 0.5, math.log2(self.low), math.log2(self.high) + 1)

    def from_unit(self, unit: float) -> int:
        exponent = math.floor(self._scaled(unit, math.log2(self.low), math.log2(self.high) + 1))
        return int(self._clip(2**exponent))

    def neighbours(self, value: Any) -> tuple[int, ...]:
        return int(self._clip(value // 2)), int(self._clip(value * 2))


@dataclass(frozen=True)
class Choice(Parameter):
    """One of several values. Their order matters: PBT steps to a neighbour."""

    kind = "choice"
    options: tuple[Any, ...]

    def domain(self) -> list[Any]:
        return list(self.options)

    def ends(self) -> list[Any]:
        """Returns every option."""
        return list(self.options)

    def contains(self, value: Any) -> bool:
        return any(same(value, option) for option in self.options)

    def index(self, value: Any) -> int:
        """Returns the position of an option.

        Raises:
            ValueError: the value is not an option.
        """
        for position, option in enumerate(self.options):
            if same(value, option):
                return position
        raise ValueError(f"{value!r} is none of {list(self.options)}")

    def to_unit(self, value: Any) -> float:
        return (self.index(value) + 0.5) / len(self.options)

    def from_unit(self, unit: float) -> Any:
        last = len(self.options) - 1
        return self.options[min(max(math.floor(unit * len(self.options)), 0), last)]

    def neighbours(self, value: Any) -> tuple[Any, ...]:
        position = self.index(value)
        return self.options[max(position - 1, 0) : position + 2]


KINDS: dict[str, type[Parameter]] = {
    kind.kind: kind for kind in (Uniform, Log, OneMinusLog, Int, Pow2, Choice)
}
