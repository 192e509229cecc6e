"""No scheduling: every trial runs to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.schedulers import FIFOScheduler

from rltune.schedulers import Plan
from rltune.schedulers.actors import KeepsActors


class Fifo(KeepsActors, FIFOScheduler):
    """Tune's own."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def get_state(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Nothing was kept."""


def build(plan: Plan) -> Fifo:
    """Trials in the order they were made."""
    return Fifo(plan)
