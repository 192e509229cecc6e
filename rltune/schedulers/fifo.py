"""No scheduling: every trial runs to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.schedulers import FIFOScheduler

from rltune.schedulers.base import SchedulerContext
from rltune.schedulers.reuse_actors import ReuseActorsMixin


class Fifo(ReuseActorsMixin, FIFOScheduler):
    """Tune's own."""

    def __init__(self, context: SchedulerContext) -> None:
        super().__init__()
        self._context = context

    def get_state(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Nothing was kept."""


def build(context: SchedulerContext) -> Fifo:
    """Trials in the order they were made."""
    return Fifo(context)
