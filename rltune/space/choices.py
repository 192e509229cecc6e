"""Parameters whose values are listed one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

from rltune.space.parameter import Parameter
from rltune.space.values import same


@dataclass(frozen=True)
class Choice(Parameter):
    """One of several values. Their order matters: PBT steps to a neighbour."""

    kind = "choice"
    options: tuple[Any, ...]

    @classmethod
    def problems(cls, domain: object, step: object = None) -> list[str]:
        if not isinstance(domain, list | tuple) or not domain:
            return [
                f"a {cls.kind} needs a list of at least one option, like "
                f"{{ {cls.kind} = ['relu', 'tanh'] }}"
            ]
        if len({repr(option) for option in domain}) != len(domain):
            return [f"{cls.kind} = {list(domain)} lists an option twice"]
        return []

    @classmethod
    def of(cls, domain: Any, **fields: Any) -> Self:
        return cls(tuple(domain), **fields)

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


@dataclass(frozen=True)
class Grid(Choice):
    """One of several values, each of which the searcher tries equally often.

    Searchers that cannot refuse it: see :attr:`rltune.searchers.SearcherRow.grids`. For PBT's and
    PB2's exploits it is a choice.
    """

    kind = "grid"
