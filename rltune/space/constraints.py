"""Relations between settings that every configuration satisfies."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rltune.errors import BadInput, did_you_mean
from rltune.space.values import is_number


@dataclass(frozen=True)
class Constraint:
    """A relation that every configuration satisfies.

    Each side is a setting, a number, or a product of them: ``minibatch_size <= train_batch_size``,
    ``num_envs_per_env_runner * 2 divides train_batch_size``.
    """

    text: str
    left: tuple[str | float, ...]
    relation: str
    right: tuple[str | float, ...]

    RELATIONS: ClassVar[dict[str, Callable[[float, float], bool]]] = {
        "<=": lambda a, b: a <= b,
        ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
        "divides": lambda a, b: b % (a or 1) == 0,
    }

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Parses ``A <relation> B``; raises BadInput for any other text."""
        for relation in cls.RELATIONS:
            left, separator, right = text.partition(f" {relation} ")
            if separator:
                return cls(text, _factors(left), relation, _factors(right))
        raise BadInput(
            f"constraint {text!r}: write it as 'A <= B' with one of {', '.join(cls.RELATIONS)}"
        )

    @classmethod
    def parse_known(cls, text: str, known: Collection[str]) -> Constraint:
        """Parses a relation between known settings; raises BadInput for another name."""
        constraint = cls.parse(text)
        for name in sorted(constraint.names()):
            if name not in known:
                hint = did_you_mean(name, known)
                raise BadInput(f"constraint {text!r}: unknown setting {name!r}.{hint}")
        return constraint

    def names(self) -> set[str]:
        """Returns the names of the settings in the relation."""
        return {f for f in (*self.left, *self.right) if isinstance(f, str)}

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Returns whether values satisfy it; true if one of its settings has no number."""
        if not all(is_number(values.get(name)) for name in self.names()):
            return True
        return self.RELATIONS[self.relation](
            _product(self.left, values), _product(self.right, values)
        )

    def broken_by(self, values: Mapping[str, Any]) -> str:
        """Returns the message for a user whose values violate it."""
        shown = ", ".join(f"{name} = {values[name]}" for name in sorted(self.names()))
        return f"{self.text} does not hold: {shown}"


def _factors(text: str) -> tuple[str | float, ...]:
    """Splits a product into its numbers and names."""
    return tuple(_factor(part.strip()) for part in text.split("*"))


def _factor(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _product(factors: Sequence[str | float], values: Mapping[str, Any]) -> float:
    return math.prod(float(values[f]) if isinstance(f, str) else f for f in factors)
