"""Values of settings, compared as a search space needs it."""

from __future__ import annotations

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
