"""Values of settings, compared as a search space needs it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Values = dict[str, Any]


def is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def same(value: object, other: object) -> bool:
    """Compares two values and distinguishes 1 from True, as a choice must."""
    alike = type(value) is type(other) or (is_number(value) and is_number(other))
    return alike and bool(value == other)


def is_pow2(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def plain(value: Any) -> Any:
    """Returns a value as JSON holds it: tuples become lists, numpy's numbers Python's.

    Raises:
        ValueError: JSON has no such value.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"the keys of a table must be texts, got {wrong[0]!r}")
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("nan is no value of a setting: use None where there is none")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    raise ValueError(
        f"{value!r:.80} cannot be kept in a run folder: use numbers, texts, booleans, None, lists "
        "and tables of them (for a class or a function, its name, which your function looks up)"
    )
