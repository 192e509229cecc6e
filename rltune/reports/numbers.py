"""Numbers as people write them, the same on the screen and in a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def number(value: float | None) -> str:
    """A number as a person reads it; "-" for none.

    >>> number(1234.0), number(499.25), number(0.0123456), number(None)
    ('1,234', '499.2', '0.01235', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    if isinstance(value, int) or (abs(value) >= 100 and float(value).is_integer()):
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:,.1f}"
    if abs(value) < 1e-12:  # what is left of the difference of two equal means
        return "0"
    return f"{value:.4g}"


def bounds(interval: Sequence[float | None]) -> str:
    """The ends of an interval, ``[low, high]``; "-" where there is none."""
    low, high = map(number, interval)
    return low if low == high == number(None) else f"[{low}, {high}]"


def clock(seconds: float) -> str:
    """Seconds as minutes or hours."""
    if not math.isfinite(seconds):
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def setting(value: Any) -> str:
    """A setting's value as a person reads it: four digits, of a share near 1 those of the rest.

    >>> setting(0.002999999999999999), setting(0.99995), setting("relu"), setting(1 / 3)
    ('0.003', '0.99995', 'relu', '0.3333')
    """
    if not isinstance(value, float):
        return str(value)
    if 0.99 < value < 1:
        digits = 1 - math.floor(math.log10(1 - value))
        return f"{value:.{min(digits, 15)}f}".rstrip("0")
    return f"{value:.4g}"


def chance(probability: float) -> str:
    """A probability of a few samples: none of them shows a certainty.

    >>> chance(0.934), chance(1.0), chance(0.0)
    ('0.93', 'over 0.99', 'under 0.01')
    """
    if probability > 0.99:
        return "over 0.99"
    return "under 0.01" if probability < 0.01 else f"{probability:.2f}"
