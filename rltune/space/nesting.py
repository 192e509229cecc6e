"""Nested settings: flat within rltune, ``model/hidden``, and nested for a function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: Between the keys of nested tables.
SEPARATOR = "/"


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings as a function gets them.

    >>> nested({"model/hidden": 64, "model/layers": 2, "lr": 1e-3})
    {'model': {'hidden': 64, 'layers': 2}, 'lr': 0.001}
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *tables, key = name.split(SEPARATOR)
        body = tree
        for table in tables:
            body = body.setdefault(table, {})
        body[key] = value
    return tree


def collisions(names: Iterable[str]) -> list[str]:
    """Returns a message for each name that is a setting and a table of other settings."""
    known = set(names)
    return [
        f"{table}: it is a setting, and the table of {name}; rename one of them"
        for name in sorted(known)
        for table in _tables(name)
        if table in known
    ]


def _tables(name: str) -> list[str]:
    parts = name.split(SEPARATOR)
    return [SEPARATOR.join(parts[:depth]) for depth in range(1, len(parts))]
