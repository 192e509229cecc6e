"""What an option is, and a group of options that checks itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from math import inf, isnan
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from rltune.errors import BadInput, unknown


@dataclass(frozen=True)
class Option:
    """One thing that a user may ask for.

    Attributes:
        name: the Python keyword; the command line's spelling follows from it.
        types: the types that its value may have.
        default: its value where none is given.
        inherited: whether a value that is not given comes from the preset.
        help: one sentence for the command line's help and the keyword's documentation.
        placeholder: what help shows in place of a value.
        panel: heading that help shows it under.
        searches: whether it is of a search, and none of a training run's.
        least: smallest value.
        above: bound that the value must be larger than.
        most: largest value.
        finite: whether an infinite value is refused.
        unit: of the bounds, for messages.
        choices: the values there are; empty for any.
        read: makes the value of a text, or raises ValueError with what is wrong with it.
    """

    name: str
    types: tuple[Any, ...]
    default: Any
    inherited: bool
    help: str
    placeholder: str | None = None
    panel: str | None = None
    searches: bool = False
    least: float | None = None
    above: float | None = None
    most: float | None = None
    finite: bool = False
    unit: str = ""
    choices: tuple[str, ...] = ()
    read: Callable[[Any], Any] | None = None

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, beginning with the option's name; None if nothing is."""
        if value is None and NoneType in self.types:
            return None
        if self.read is not None:
            try:
                value = self.read(value)
            except ValueError as error:
                return f"{self.name} {error}"
        if self.choices and value not in self.choices:
            return str(unknown(self.name, str(value), self.choices))
        wanted = self.wanted_type(value) or self._wanted_range(value)
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        return f"{self.name} must be {wanted}, got {shown}" if wanted else None

    def wanted_type(self, value: Any) -> str | None:
        """The type that a value should have; None if it does. An int is a float, a bool neither."""
        kind = self.types[0]
        if value == "":
            return "more than an empty text"
        if kind not in _TYPES:
            return None  # tables, lists and paths are checked where they are read
        good = isinstance(value, _TYPES[kind]) and (kind is bool or not isinstance(value, bool))
        return None if good else "int or float" if kind is float else str(kind.__name__)

    def _wanted_range(self, value: Any) -> str | None:
        """The range that a number should lie in; None if it does."""
        if isinstance(value, Real) and isnan(value):
            return "a number"  # no comparison with it is ever true: a target would never be reached
        if self.finite and value == inf:
            return "finite"
        low = self.least is None or value >= self.least
        low = low and (self.above is None or value > self.above)
        high = self.most is None or value <= self.most
        if low and high:
            return None
        if self.most is not None:
            start = f"({self.above}" if self.least is None else f"[{self.least}"
            return f"in {start}, {self.most}]"
        return f"above {self.above}{self.unit}" if self.least is None else f"at least {self.least}"


#: What counts as a value of a type: numpy's numbers do.
_TYPES: dict[Any, type | tuple[type, ...]] = {
    int: Integral,
    float: Real,
    str: (str, Path),
    bool: bool,
}


def option(default: Any, help: str, **rules: Any) -> Any:
    """The field of an option; the rules are attributes of :class:`Option`."""
    return field(default=default, metadata={"help": help, **rules})


@dataclass(frozen=True)
class Group:
    """Options that belong together. A group checks itself when it is made.

    Raises:
        BadInput: with every value that is wrong.
    """

    #: Heading of its options in help.
    panel: ClassVar[str | None] = None
    #: Whether a value that is not given comes from the preset.
    inherited: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if wrong := problems(type(self), vars(self)):
            raise BadInput(list(wrong.values()))
        for name, one in options_of(type(self)).items():
            if one.read is not None:
                object.__setattr__(self, name, one.read(getattr(self, name)))


_hints: Callable[[type], dict[str, Any]] = cache(get_type_hints)  # evaluates texts


def options_of(group: type[Group]) -> dict[str, Option]:
    """The options of a group, by name."""
    hints = _hints(group)
    return {
        f.name: Option(
            f.name,
            _alternatives(hints[f.name]),
            f.default,
            group.inherited,
            **{"panel": group.panel, **f.metadata},
        )
        for f in fields(group)
    }


def problems(group: type[Group], values: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a group's options among values, by name; not all of them need be there."""
    options = options_of(group).items()
    found = {name: one.problem(values[name]) for name, one in options if name in values}
    return {name: problem for name, problem in found.items() if problem}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a union is of; any other type alone."""
    return get_args(hint) if get_origin(hint) is UnionType else (hint,)
