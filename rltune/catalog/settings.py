"""The types of an algorithm's settings.

A type knows which values are allowed, and when the value that acts in a trial is the one that was
requested, so that neither the checks nor the audit needs any knowledge of types. To add one, write
a subclass of :class:`Setting`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rltune.errors import did_you_mean

#: Relative. Schedules and temperatures are float32 numbers where they act.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Setting(ABC):
    """One setting of an algorithm.

    Attributes:
        doc: what it is, with its unit.
        structural: it shapes the network or the environments, or acts at the start alone, so a
            population never mutates it: a clone takes its donor's value together with the weights.
        idle: another setting, and its value with which this one has no effect.
        comparable: Python types of the values that can be compared. RLlib accepts further forms
            ("auto", a range to draw from), which cannot.
    """

    doc: str
    structural: bool = field(default=False, kw_only=True)
    idle: tuple[str, Any] | None = field(default=None, kw_only=True)
    comparable: ClassVar[tuple[type, ...]]

    @abstractmethod
    def problem(self, value: object) -> str | None:
        """What is wrong with a value, worded to follow the setting's name; None if nothing."""

    def agrees(self, requested: Any, acting: Any, env_steps: int) -> bool:
        """Whether the value that acts is the requested one, or the latter cannot be compared.

        Args:
            acting: the value as read from the object it acts in.
            env_steps: the trial's environment steps, at which a schedule is evaluated.
        """
        if not isinstance(requested, self.comparable):
            return True
        return self.equal(requested, acting, env_steps)

    def equal(self, requested: Any, acting: Any, env_steps: int) -> bool:
        """Whether two comparable values are the same; see :meth:`agrees`."""
        return bool(_as_list(requested) == _as_list(acting))

    def zero_from(self, value: object) -> float:
        """The environment step from which a rate stays at zero; inf where it never does."""
        return math.inf


@dataclass(frozen=True)
class Number(Setting):
    """A number from ``low`` to ``high``.

    Attributes:
        low: the smallest value allowed.
        high: the largest value allowed.
        above_low: whether ``low`` itself is excluded.
    """

    low: float = -math.inf
    high: float = math.inf
    above_low: bool = field(default=False, kw_only=True)
    comparable: ClassVar[tuple[type, ...]] = (int, float)

    def problem(self, value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected a number, got {value!r}"
        if math.isnan(value):
            return "expected a number, got nan"
        too_low = value <= self.low if self.above_low else value < self.low
        if too_low or value > self.high:
            opening = "(" if self.above_low else "["
            return f"expected a value in {opening}{self.low:g}, {self.high:g}], got {value!r}"
        return None

    def equal(self, requested: Any, acting: Any, env_steps: int) -> bool:
        return isinstance(acting, int | float) and math.isclose(
            requested, acting, rel_tol=TOLERANCE
        )


@dataclass(frozen=True)
class WholeNumber(Number):
    """A whole number from ``low`` to ``high``."""

    def problem(self, value: object) -> str | None:
        if not _is_whole(value):
            return f"expected a whole number, got {value!r}"
        return super().problem(value)


@dataclass(frozen=True)
class Schedule(Number):
    """A number, or a list of ``[env_steps, value]`` points with straight lines between them.

    Where ``above_low`` is set, a point may still lie at ``low``: a rate may fall to zero.
    """

    comparable = (int, float, list, tuple)

    def problem(self, value: object) -> str | None:
        return self._points_problem(value) if isinstance(value, list) else super().problem(value)

    def _points_problem(self, points: list[Any]) -> str | None:
        form = "expected a number or points like [[0, 1e-3], [100000, 0.0]]"
        if not all(isinstance(p, list) and len(p) == 2 and _is_whole(p[0]) for p in points):
            return f"{form}, got {points!r}"
        steps = [p[0] for p in points]
        if len(points) < 2 or steps[0] != 0 or steps != sorted(set(steps)):
            return f"{form}: two points or more, from step 0, in rising order; got {points!r}"
        of_points = Number(self.doc, self.low, self.high)
        return next((p for _, value in points if (p := of_points.problem(value))), None)

    def equal(self, requested: Any, acting: Any, env_steps: int) -> bool:
        values = [value for _, value in requested] if _is_points(requested) else [0.0]
        return math.isclose(
            value_at(requested, env_steps),
            value_at(acting, env_steps),
            rel_tol=TOLERANCE,
            abs_tol=TOLERANCE * max(map(abs, values)),
        )

    def zero_from(self, value: object) -> float:
        if not self.above_low or not isinstance(value, list):
            return math.inf
        end, last = value[-1]
        return math.inf if last > self.low else end


@dataclass(frozen=True)
class Flag(Setting):
    """True or false."""

    comparable = (bool,)

    def problem(self, value: object) -> str | None:
        return None if isinstance(value, bool) else f"expected true or false, got {value!r}"


@dataclass(frozen=True)
class Choice(Setting):
    """One of several words."""

    options: tuple[str, ...]
    comparable = (str,)

    def problem(self, value: object) -> str | None:
        if value in self.options:
            return None
        hint = did_you_mean(str(value), self.options)
        return f"expected one of {', '.join(self.options)}, got {value!r}.{hint}"


@dataclass(frozen=True)
class Sizes(Setting):
    """A list of whole numbers, at least one."""

    comparable = (list, tuple)

    def problem(self, value: object) -> str | None:
        good = isinstance(value, list) and bool(value) and all(map(_is_whole, value))
        return None if good else f"expected a list of whole numbers, got {value!r}"


def value_at(schedule: Any, env_steps: int) -> float:
    """The value of a number, or of points with straight lines between them, at a step."""
    if not _is_points(schedule):
        return float(schedule)
    steps, values = zip(*schedule, strict=True)
    return float(np.interp(env_steps, steps, values))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_points(value: object) -> bool:
    return isinstance(value, list | tuple)


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
