"""What parameters that are numbers share: a scale that is searched evenly, and a grid on it."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from rltune.space.parameter import Parameter
from rltune.space.values import is_number

#: Factors of PBT's explore step (Jaderberg et al. 2017, section 4.1).
PERTURB_FACTORS = (0.8, 1.2)
#: A step on a linear scale is a fifth of the value, as with those factors, but at least the first
#: share of the range (0 times 1.2 would stay 0) and at most the second (100 in [99, 101]).
STEP_SHARES = (0.05, 0.5)
#: Share of a step by which rounding may displace a quantised value.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Number(Parameter):
    """A number. Its value number ``k`` on the grid, if it is quantised, is ``_at(k)``."""

    #: What the two numbers of the domain are called.
    pair: ClassVar[tuple[str, str]] = ("low", "high")

    @classmethod
    def problems(cls, domain: object, step: object = None) -> list[str]:
        if not isinstance(domain, list | tuple) or len(domain) != 2:
            return [f"{cls.kind} needs two numbers, [{', '.join(cls.pair)}], got {domain!r}"]
        if not all(is_number(bound) for bound in domain):
            return [f"{cls.kind} = {list(domain)}: both bounds must be numbers"]
        if not all(math.isfinite(bound) for bound in domain):
            return [f"{cls.kind} = {list(domain)}: both bounds must be finite"]
        low, high = domain
        found = cls._domain_problems(low, high)
        return found if step is None else [*found, *cls._step_problems(low, high, step)]

    @classmethod
    def _domain_problems(cls, low: float, high: float) -> list[str]:
        reversed_ = f"{cls.kind} = [{low}, {high}] is reversed: write [{high}, {low}]"
        return [reversed_] if low > high else []

    @classmethod
    def _step_problems(cls, low: float, high: float, step: Any) -> list[str]:
        if not is_number(step) or not math.isfinite(step) or step <= 0:
            return [f"step = {step!r} must be a number above 0"]
        return []

    @abstractmethod
    def _bounds(self) -> tuple[float, float]:
        """Returns the bounds of the scale."""

    def _to_scale(self, value: float) -> float:
        return value

    def _from_scale(self, position: float) -> float:
        return position

    @abstractmethod
    def _index(self, value: float) -> int:
        """Returns the number of the value on the grid that is nearest."""

    @abstractmethod
    def _at(self, index: int) -> Any:
        """Returns a value on the grid; numbers beyond its ends give the ends."""

    def _targets(self, value: float) -> tuple[float, float]:
        """Returns where PBT's steps down and up lead, before clipping and rounding."""
        step = linear_step(value, *self._bounds())
        return value - step, value + step

    def _moved(self, value: float, target: float) -> Any:
        """Returns the value on the grid nearest to a target, but another one than the value."""
        index, reached = self._index(value), self._index(target)
        if reached == index:
            reached += 1 if target > value else -1
        return self._at(reached)

    def _clip(self, value: float) -> float:
        low, high = self._bounds()
        return min(max(value, low), high)


def between(unit: float, low: float, high: float) -> float:
    return low + min(max(unit, 0.0), 1.0) * (high - low)


def position_of(value: float, low: float, high: float) -> float:
    return 0.0 if high == low else min(max((value - low) / (high - low), 0.0), 1.0)


def linear_step(value: float, low: float, high: float) -> float:
    """Returns the length of a PBT step on a linear scale."""
    least, most = (share * (high - low) for share in STEP_SHARES)
    return min(max(abs(value) * (PERTURB_FACTORS[1] - 1.0), least), most)


def not_positive(kind: str, low: float, high: float) -> list[str]:
    return [] if low > 0 else [f"{kind} = [{low}, {high}]: a log scale needs low > 0"]


def too_wide(low: float, high: float, step: float) -> list[str]:
    wide = step > (high - low) * (1 + ROUNDING)
    return [f"step = {step} is wider than the range [{low}, {high}]"] if wide else []
