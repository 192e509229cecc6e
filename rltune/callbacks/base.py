"""What a sweep tells those who watch it: typed events, one list of callbacks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rltune.errors import BadInput
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision, Failure, Report
from rltune.runs.summary_record import Summary
from rltune.spec import RunSpec

log = logging.getLogger("rltune")


@dataclass(frozen=True)
class Event:
    """Something that happened in a sweep. Each kind names the method that handles it."""

    handler: ClassVar[str]


@dataclass(frozen=True)
class SweepStarted(Event):
    """The run folder is made, or opened again for a resume; Ray is about to start."""

    handler = "on_start"
    spec: RunSpec
    folder: RunFolder


@dataclass(frozen=True)
class TrialReported(Event):
    """A trial reported.

    Attributes:
        incidents: what happened in the trial since its last report, short of a failure, each a
            mapping with ``kind``, ``env_steps`` and ``error``.
    """

    handler = "on_report"
    report: Report
    incidents: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class StatusChanged(Event):
    """A trial is RUNNING, PAUSED, PENDING, TERMINATED or ERROR from now on."""

    handler = "on_status"
    trial: str
    status: str


@dataclass(frozen=True)
class CheckpointWritten(Event):
    """A trial has written a checkpoint, a folder."""

    handler = "on_checkpoint"
    trial: str
    path: Path


@dataclass(frozen=True)
class DecisionApplied(Event):
    """A scheduler's decision took effect: a line of decisions.jsonl."""

    handler = "on_decision"
    decision: Decision


@dataclass(frozen=True)
class TrialFailed(Event):
    """A trial failed: a line of failures.jsonl, which also says whether it is tried again.

    Attributes:
        continues_from: environment steps of the checkpoint that it is tried again from; what it
            reported past them is lost. None where it is given up.
    """

    handler = "on_failure"
    trial: str
    failure: Failure
    continues_from: int | None = None


@dataclass(frozen=True)
class Notice(Event):
    """Something a person should know, once."""

    handler = "on_notice"
    text: str


@dataclass(frozen=True)
class EvaluationStarted(Event):
    """Training is over; the best policy is chosen and plays this many episodes."""

    handler = "on_evaluation"
    episodes: int


@dataclass(frozen=True)
class SweepEnded(Event):
    """The run is over: summary.json as it is written."""

    handler = "on_end"
    summary: Summary


class Callback:
    """Watches a sweep. Override the methods that you need; none has to be.

    An exception in one of them switches this callback off, with a warning; the sweep continues.

    Example:
        >>> class Printer(Callback):
        ...     def on_report(self, event: TrialReported) -> None:
        ...         print(event.report.trial, event.report.env_steps)
        >>> callbacks = Callbacks(Callback(), [Printer()])
        >>> callbacks.notify(TrialReported(Report("t00", 1, 500, 500, 1.0, 20.0, {"lr": 1e-3})))
        t00 500
    """

    def on_event(self, event: Event) -> None:
        """Receives every event. Passes it on to the method for its kind."""
        getattr(self, event.handler)(event)

    def on_start(self, event: SweepStarted) -> None:
        """The sweep starts, or continues."""

    def on_report(self, event: TrialReported) -> None:
        """A trial reported."""

    def on_status(self, event: StatusChanged) -> None:
        """A trial's status changed."""

    def on_checkpoint(self, event: CheckpointWritten) -> None:
        """A trial wrote a checkpoint."""

    def on_decision(self, event: DecisionApplied) -> None:
        """A scheduler's decision took effect."""

    def on_failure(self, event: TrialFailed) -> None:
        """A trial failed."""

    def on_notice(self, event: Notice) -> None:
        """There is something a person should know."""

    def on_evaluation(self, event: EvaluationStarted) -> None:
        """Training is over, and scoring begins."""

    def on_end(self, event: SweepEnded) -> None:
        """The run is over."""

    def close(self) -> None:
        """Releases files and the like. Called once, whether the sweep ended well or not."""


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raises BadInput for what a sweep could not notify."""
    if isinstance(callbacks, Callback):
        raise BadInput("callbacks must be a list: write callbacks=[...] around it")
    for callback in callbacks:
        if isinstance(callback, type) and issubclass(callback, Callback):
            name = callback.__name__
            raise BadInput(f"callbacks holds the class {name}: make an instance, {name}()")
        if not isinstance(callback, Callback):
            raise BadInput(f"callbacks holds {callback!r}, which does not subclass rltune.Callback")


class Callbacks:
    """Notifies callbacks of events, each of them in the order of the list.

    Args:
        writer: writes the run folder. It is notified first, and what it raises ends the sweep:
            nothing may continue that is not written down.
        others: those whose exceptions switch them off alone.
    """

    def __init__(self, writer: Callback, others: Sequence[Callback] = ()) -> None:
        self._writer = writer
        self._others = list(others)

    def notify(self, event: Event) -> None:
        """Passes an event to every callback that is still on."""
        self._writer.on_event(event)
        for callback in list(self._others):
            try:
                callback.on_event(event)
            except Exception as error:
                self._switch_off(callback, event.handler, error)

    def notice(self, text: str) -> None:
        """Notifies of something a person should know."""
        self.notify(Notice(text))

    def close(self) -> None:
        """Closes every callback."""
        for callback in list(self._others):
            try:
                callback.close()
            except Exception as error:
                self._switch_off(callback, "close", error)
        self._writer.close()

    def _switch_off(self, callback: Callback, method: str, error: Exception) -> None:
        self._others.remove(callback)
        name = type(callback).__name__
        log.warning(
            "%s.%s raised %s: %s. It is switched off; the sweep continues without it",
            name,
            method,
            type(error).__name__,
            error,
            exc_info=log.isEnabledFor(logging.DEBUG),
        )
