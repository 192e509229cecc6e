"""No scheduling: every trial runs to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rltune.schedulers.base import Action, SchedulerContext, Turn


class Fifo:
    """Starts trials in the order in which they wait, and lets them train."""

    def added(self, trial: str, settings: Mapping[str, Any]) -> None:
        """Keeps nothing."""

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        """Lets the trial continue."""
        return Action.CONTINUE

    def saved(self, trial: str) -> None:
        """Keeps nothing."""

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        """Keeps nothing."""

    def choose(self, waiting: Sequence[str]) -> Turn:
        """Starts the first in line."""
        return Turn(waiting[0] if waiting else None)

    def get_state(self) -> dict[str, Any]:
        """No state."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Nothing was kept."""


def build(context: SchedulerContext) -> Fifo:
    """First in, first out."""
    return Fifo()
