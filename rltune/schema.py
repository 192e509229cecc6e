"""Checks a value read from JSON against type annotations, and makes records of it and back.

A file may be truncated, edited by hand or from another user; its reader relies on its shape.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, partial
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from rltune.errors import BadInput

#: A number that JSON holds as null where it is NaN.
NullableFloat = Annotated[float, "null is NaN"]


@dataclass(frozen=True)
class Omit:
    """Marks a field of a :class:`Record` that JSON leaves out where it has its default.

    Attributes:
        beside: another field: where that is not None, this one is written whatever it is.
    """

    beside: str = ""


T = TypeVar("T")
#: The type of such a field. Without a default it has to be given, and None is left out.
Omitted = Annotated[T, Omit()]


class Record:
    """A frozen dataclass that a JSON file holds as a table of its fields, in their order.

    A file may hold more keys than the class has fields, those of other versions: they are ignored.

    Attributes:
        demanded: fields that JSON has to hold although they have a default.
    """

    demanded: ClassVar[frozenset[str]] = frozenset()

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON holds it; omits absent fields, see :data:`Omitted`."""
        kind: Any = type(self)
        return {name: plain(getattr(self, name)) for name in _hints(kind) if not self._omits(name)}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            BadInput: the values do not fit the fields: with every problem.
        """
        try:
            kind: Any = cls
            record: Self = _reader(kind)(values)
        except _Misfit:
            if found := problems(values, cls):
                raise BadInput(found) from None
            record = built(values, cls)
        return record

    def _omits(self, name: str) -> bool:
        kind: Any = type(self)
        omit = _omissions(kind).get(name)
        if omit is None or getattr(self, name) != _defaults(kind).get(name):
            return False
        return not omit.beside or getattr(self, omit.beside) is None


def problems(value: Any, wanted: Any, place: str = "") -> list[str]:
    """Lists what in a value from JSON does not match a type, each problem with its place.

    Args:
        wanted: dataclass or any other annotation. Keys that a :class:`Record` does not have are
            accepted; keys that another dataclass does not have are problems.
        place: path of the value, such as ``best.trial``.
    """
    if wanted is Any or (wanted == NullableFloat and value is None):
        return []
    if get_origin(wanted) in (Union, types.UnionType):
        kinds = [one for one in get_args(wanted) if value is None or one is not type(None)]
        by_kind = [problems(value, one, place) for one in kinds]
        return min(by_kind, key=len) if all(by_kind) else []
    if _is_table(wanted):
        optional = frozenset(_defaults(wanted).keys() | _omissions(wanted).keys())
        if not _is_record(wanted):
            return fields_problems(value, _hints(wanted), optional, place)
        return fields_problems(value, _hints(wanted), optional - wanted.demanded, place, False)
    return _plain_problems(value, float if wanted == NullableFloat else wanted, place)


def fields_problems(
    value: Any,
    hints: Mapping[str, Any],
    optional: frozenset[str],
    place: str = "",
    closed: bool = True,
) -> list[str]:
    """Lists the problems of a table, by the types of its entries.

    Args:
        optional: entries that may be missing.
        closed: whether other entries are problems.
    """
    if not isinstance(value, dict):
        return [_wrong(place, "a table", value)]
    at = f"{place}." if place else ""
    missing = [f"{at}{key} is missing" for key in hints if key not in value and key not in optional]
    unknown = [f"{at}{key} is unknown" for key in value if closed and key not in hints]
    return [
        *missing,
        *unknown,
        *(p for key in hints if key in value for p in problems(value[key], hints[key], at + key)),
    ]


def built(value: Any, wanted: Any) -> Any:
    """Converts a value from JSON without :func:`problems` to dataclasses and tuples of its type."""
    wanted = _given(wanted)
    if isinstance(value, dict):
        entries = {key: built(one, entry(wanted, key)) for key, one in value.items()}
        return _made(wanted, entries) if _is_table(wanted) else entries
    if isinstance(value, list):
        items = [built(one, entry(wanted, i)) for i, one in enumerate(value)]
        return tuple(items) if get_origin(wanted) is tuple else items
    return math.nan if value is None and wanted == NullableFloat else value


class _Misfit(Exception):
    """A value may not be of its type: :func:`problems` tells."""


@cache
def _reader(wanted: Any) -> Callable[[Any], Any]:
    """Returns what checks a value from JSON and builds it in one go, for the many rows of a run.

    It raises _Misfit for every value that has problems, and for some that have none.
    """
    if wanted is Any:
        return _copied
    if wanted == NullableFloat:
        return lambda value: math.nan if value is None else _number(value)
    if wanted in _EXACT:
        return partial(_exactly, _EXACT[wanted])
    if _is_record(wanted):
        return _record_reader(wanted)
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in (dict, Mapping):
        return partial(_read_table, _reader(args[1]))
    if origin is list:
        return partial(_read_list, _reader(args[0]))
    if origin in (Union, types.UnionType) and _given(wanted) is not Any:
        return partial(_read_optional, _reader(_given(wanted)))
    return partial(_read_slowly, wanted)


_EXACT: dict[Any, frozenset[type]] = {
    str: frozenset({str}),
    bool: frozenset({bool}),
    int: frozenset({int}),
    float: frozenset({float, int}),
}


def _exactly(kinds: frozenset[type], value: Any) -> Any:
    if type(value) not in kinds:
        raise _Misfit
    return value


def _number(value: Any) -> Any:
    return _exactly(_EXACT[float], value)


def _copied(value: Any) -> Any:
    """Returns a value of any type; a copy where it has parts."""
    return built(value, Any) if isinstance(value, dict | list) else value


def _read_table(read: Callable[[Any], Any], value: Any) -> Any:
    _exactly(frozenset({dict}), value)
    return {key: read(one) for key, one in value.items()}


def _read_list(read: Callable[[Any], Any], value: Any) -> Any:
    _exactly(frozenset({list}), value)
    return [read(one) for one in value]


def _read_optional(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)


def _read_slowly(wanted: Any, value: Any) -> Any:
    if problems(value, wanted):
        raise _Misfit
    return built(value, wanted)


def _record_reader(wanted: Any) -> Callable[[Any], Any]:
    readers = {name: _reader(hint) for name, hint in _hints(wanted).items()}
    optional = (_defaults(wanted).keys() | _omissions(wanted).keys()) - wanted.demanded
    required = readers.keys() - optional

    def read(value: Any) -> Any:
        _exactly(frozenset({dict}), value)
        if not required <= value.keys():
            raise _Misfit
        return _made(
            wanted, {key: readers[key](one) for key, one in value.items() if key in readers}
        )

    return read


def entry(wanted: Any, key: str | int) -> Any:
    """Returns the type of an entry of a table or a list, Any for an unknown one.

    Args:
        wanted: type of the whole.
        key: name of the entry in a table, or its index in a list.
    """
    if wanted is Any:
        return Any
    wanted = _given(wanted)
    if _is_table(wanted):
        return _hints(wanted).get(str(key), Any)
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in (dict, Mapping):
        return args[1]
    if origin is tuple and args[-1] is not Ellipsis:
        return args[int(key)] if int(key) < len(args) else Any
    return args[0] if origin in (list, tuple, Sequence) else Any


def is_text(wanted: Any) -> bool:
    """Returns whether values of a type are texts, or None."""
    return _given(wanted) is str


def plain(value: Any) -> Any:
    """Converts records and mappings to dicts and sequences to lists, as JSON has them."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def _given(wanted: Any) -> Any:
    """Returns a type without its None; Any where several are left."""
    if get_origin(wanted) not in (Union, types.UnionType):
        return wanted
    kinds = [one for one in get_args(wanted) if one is not type(None)]
    return kinds[0] if len(kinds) == 1 else Any


def _made(wanted: Any, entries: dict[str, Any]) -> Any:
    """Makes an instance of a dataclass; ignores entries that it does not have."""
    unset = _unset(wanted)
    return wanted(**unset | {name: entries[name] for name in _hints(wanted) if name in entries})


@cache
def _unset(wanted: Any) -> dict[str, None]:
    """Returns None for each field that JSON leaves out and that has no default."""
    return dict.fromkeys(_omissions(wanted).keys() - _defaults(wanted).keys())


@cache
def _hints(wanted: Any) -> dict[str, Any]:
    """Returns the types of a dataclass's fields."""
    hints = get_type_hints(wanted, include_extras=True)
    omitted = _omissions(wanted)
    return {
        one.name: get_args(hints[one.name])[0] if one.name in omitted else hints[one.name]
        for one in fields(wanted)
    }


@cache
def _omissions(wanted: Any) -> dict[str, Omit]:
    """Returns the marks of the fields that JSON leaves out at times."""
    hints = get_type_hints(wanted, include_extras=True)
    marks = {one.name: getattr(hints[one.name], "__metadata__", ()) for one in fields(wanted)}
    return {name: mark for name, given in marks.items() for mark in given if isinstance(mark, Omit)}


@cache
def _defaults(wanted: Any) -> dict[str, Any]:
    """Returns the defaults of a dataclass's fields; those without one are absent."""
    return {
        one.name: one.default if one.default_factory is MISSING else one.default_factory()
        for one in fields(wanted)
        if (one.default, one.default_factory) != (MISSING, MISSING)
    }


def _is_table(wanted: Any) -> bool:
    return is_dataclass(wanted)


def _is_record(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, Record)


def _plain_problems(value: Any, wanted: Any, place: str) -> list[str]:
    origin, args = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        good, words = value in args, " or ".join(map(repr, args))
    elif origin is tuple and args[-1] is not Ellipsis:
        if isinstance(value, list) and len(value) == len(args):
            each = [problems(*pair, place) for pair in zip(value, args, strict=True)]
            return [problem for problems_of_one in each for problem in problems_of_one]
        good, words = False, f"a list of {len(args)}"
    elif origin in (list, tuple, Sequence):
        if isinstance(value, list):
            return [
                p for i, one in enumerate(value) for p in problems(one, args[0], f"{place}[{i}]")
            ]
        good, words = False, "a list"
    elif origin in (dict, Mapping):
        if isinstance(value, dict):
            entries = () if args[1] is Any else value.items()
            return [p for k, one in entries for p in problems(one, args[1], f"{place}.{k}")]
        good, words = False, "a table"
    elif wanted is float:
        good, words = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    elif wanted is int:
        good, words = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        good = value is None if wanted is type(None) else isinstance(value, wanted)
        words = _WORDS[wanted]
    return [] if good else [_wrong(place, words, value)]


_WORDS = {str: "text", bool: "true or false", type(None): "null"}


def _wrong(place: str, wanted: str, value: Any) -> str:
    shown = "null" if value is None else f"{value!r:.60}"
    return f"{place or 'it'}: expected {wanted}, got {shown}"
