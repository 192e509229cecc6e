"""How many trials run at a time: more of them once machines have joined."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from ray.exceptions import RayError

#: Seconds from one look at what Ray has to the next.
EVERY = 5.0


class Slots:
    """Calls give the number of trials that may run at a time.

    It never falls: where a machine is lost, its trials wait for room by themselves.

    Args:
        first: as the sweep starts.
        now: counts them again, for what Ray has by then.
    """

    def __init__(self, first: int, now: Callable[[], int]) -> None:
        self._count, self._now = first, now
        self._looked = time.monotonic()

    def __call__(self) -> int:
        if time.monotonic() - self._looked > EVERY:
            with suppress(RayError):  # whether the cluster's head answers is watched elsewhere
                self._count = max(self._count, self._now())
            self._looked = time.monotonic()
        return self._count
