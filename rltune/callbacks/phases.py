"""The phases of a sweep, as its events tell them."""

from __future__ import annotations

import time

from rltune.callbacks.base import (
    EvaluationProgressed,
    Event,
    StatusChanged,
    SweepEnded,
    SweepStarted,
)
from rltune.runs.records import Phase


def entered(event: Event, before: str) -> Phase | None:
    """The phase that an event begins or continues; None for any other.

    Args:
        before: name of the phase so far.
    """
    match event:
        case SweepStarted(folder=folder):
            return phase("starting", before=folder.seconds_spent)
        case StatusChanged(status="RUNNING") if before == "starting":
            return phase("training")
        case EvaluationProgressed(phase=name, done=done, of=of):
            return phase(name, done, of)
        case SweepEnded():
            return phase("ended")
    return None


def phase(name: str, done: int = 0, of: int = 0, before: float = 0.0) -> Phase:
    """A phase as of now."""
    return Phase(name, round(time.time(), 3), done, of, before)
