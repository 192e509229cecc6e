"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: From low to high.
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.,-~=*#"


def sparkline(
    values: Sequence[float], low: float, high: float, *, width: int, blocks: str = BLOCKS
) -> str:
    """Returns the newest values as characters of eight heights, one each.

    >>> sparkline([0, 1, 2, math.nan, 7], low=0, high=7, width=4)
    '▂▃█'

    Args:
        low: value of the lowest block, ``high`` of the highest: those of all curves that are
            compared.
        width: greatest number of values.
    """
    span = high - low
    newest = [value for value in values[-width:] if math.isfinite(value)]
    if not 0 < span < math.inf:
        return blocks[len(blocks) // 2 - 1] * len(newest)
    last = len(blocks) - 1
    shares = [min(1.0, max(0.0, (value - low) / span)) for value in newest]
    return "".join(blocks[round(share * last)] for share in shares)
