"""Checks a value read from JSON against type annotations.

A file may be truncated, edited by hand or from another user; its reader relies on its shape.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)


def problems(value: Any, wanted: Any, place: str = "") -> list[str]:
    """Lists what in a value from JSON does not match a type, each problem with its place.

    Args:
        wanted: dataclass, TypedDict or any other annotation. Keys that a TypedDict does not name
            are accepted; keys that a dataclass does not have are problems.
        place: path of the value, such as ``best.trial``.
    """
    if wanted is Any:
        return []
    if get_origin(wanted) in (Union, types.UnionType):
        kinds = [one for one in get_args(wanted) if value is None or one is not type(None)]
        by_kind = [problems(value, one, place) for one in kinds]
        return min(by_kind, key=len) if all(by_kind) else []
    if is_typeddict(wanted) or is_dataclass(wanted):
        hints, optional, closed = _fields(wanted)
        return fields_problems(value, hints, optional, place, closed)
    return _plain_problems(value, wanted, place)


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


@cache
def _fields(wanted: Any) -> tuple[dict[str, Any], frozenset[str], bool]:
    """Returns the types of a table's entries, the optional ones, and whether others are wrong."""
    hints = get_type_hints(wanted)
    if is_typeddict(wanted):
        marked = get_type_hints(wanted, include_extras=True)
        optional = [name for name, kind in marked.items() if get_origin(kind) is NotRequired]
        return hints, frozenset(optional), False
    given = [f.name for f in fields(wanted) if (f.default, f.default_factory) != (MISSING, MISSING)]
    return {f.name: hints[f.name] for f in fields(wanted)}, frozenset(given), True


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
            return [p for k, one in value.items() for p in problems(one, args[1], f"{place}.{k}")]
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
