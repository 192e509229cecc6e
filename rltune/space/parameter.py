"""What every kind of parameter offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from rltune.space.values import same


@dataclass(frozen=True)
class Parameter(ABC):
    """One searched setting.

    Attributes:
        default: value used outside a search, inside the domain; None if there is none.
        step: distance between neighbouring values of a quantised range; None if there is none.
    """

    kind: ClassVar[str]
    #: Whether the kind can be quantised.
    takes_step: ClassVar[bool] = False
    default: Any = field(default=None, kw_only=True)
    step: Any = field(default=None, kw_only=True)

    @classmethod
    @abstractmethod
    def problems(cls, domain: object, step: object = None) -> list[str]:
        """Returns what is wrong with a domain as written in TOML, and with its step."""

    @classmethod
    @abstractmethod
    def of(cls, domain: Any, **fields: Any) -> Self:
        """Builds a parameter of a domain without :meth:`problems`."""

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
        rest = {"step": self.step, "default": self.default}
        given = {key: value for key, value in rest.items() if value is not None}
        return {self.kind: self.domain(), **given}

    def __str__(self) -> str:
        """Returns kind, domain and step as in TOML, for messages and tables."""
        step = "" if self.step is None else f", step = {self.step}"
        return f"{self.kind} = {self.domain()}{step}"
