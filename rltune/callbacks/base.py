"""What a sweep tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune.runs.folder import RunFolder
from rltune.runs.records import Report
from rltune.spec import RunSpec


class Callback:
    """Hears of a sweep as it goes. Every method may be overridden; none needs to be."""

    def started(self, spec: RunSpec, folder: RunFolder) -> None:
        """The folder is made; Ray is about to start."""

    def reported(self, row: Report) -> None:
        """A trial reported."""

    def status(self, trial: str, status: str) -> None:
        """A trial is RUNNING, PAUSED, PENDING, TERMINATED or ERROR now."""

    def decided(self, decision: Mapping[str, Any]) -> None:
        """A decision took effect: a line of decisions.jsonl."""

    def evaluating(self, episodes: int) -> None:
        """Training is over; the best policy is evaluated."""

    def notice(self, text: str) -> None:
        """Something a person should know, once."""

    def ended(self, summary: Mapping[str, Any]) -> None:
        """The run is over: summary.json as written."""
