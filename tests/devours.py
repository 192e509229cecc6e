"""Takes memory that it does not need."""

from __future__ import annotations

import time


def devour() -> None:
    """Takes 10 GiB."""
    taken = []
    for _ in range(160):
        taken.append(b"x" * (64 << 20))
        time.sleep(0.02)
