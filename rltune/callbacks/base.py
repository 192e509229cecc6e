"""What a sweep tells those who watch it: typed events, one list of callbacks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rltune.errors import RltuneError
from rltune.processes.tracebacks import headline
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision, Failure, Report
from rltune.runs.summary_record import Summary
from rltune.spec import RunSpec

log = logging.getLogger("rltune")


@dataclass(frozen=True)
class Event:
    """Something that happened in a sweep.

    Attributes:
        handler: method of :class:`Callback` that receives events of this kind.
    """

    handler: ClassVar[str]

    @property
    def handlers(self) -> tuple[str, ...]:
        """Methods of :class:`Callback` that receive this event, in order."""
        return (self.handler,)


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
        seconds: that the trial took since its last report; None where that is not known.
        further: with ``log_all`` every other number of the trial's result, by its path in it.
    """

    handler = "on_result"
    report: Report
    incidents: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None
    further: Mapping[str, float] = field(default_factory=dict)


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
    """A scheduler's decision took effect: a line of decisions.jsonl.

    ``on_decision`` receives every one, ``on_exploit`` and ``on_stop`` those of their kind as well.
    """

    handler = "on_decision"
    decision: Decision

    @property
    def handlers(self) -> tuple[str, ...]:
        """Adds the method for the decision's kind, if there is one."""
        if self.decision.moved_weights:
            return (self.handler, "on_exploit")
        return (self.handler, "on_stop") if self.decision.kind == "stop" else (self.handler,)


@dataclass(frozen=True)
class TrialFailed(Event):
    """A trial failed: a line of failures.jsonl, which also says whether it is tried again.

    Attributes:
        continues_from: environment steps of the checkpoint that it is tried again from; what it
            reported past them is lost. None where it is given up.
    """

    handler = "on_trial_error"
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
class EvaluationProgressed(Event):
    """Episodes were played, by which policies are chosen and scored.

    Attributes:
        phase: "choosing" among checkpoints, or "scoring" the best one.
        done: episodes that have been played in this phase; ``of``: those that will be.
    """

    handler = "on_evaluation_progress"
    phase: str
    done: int
    of: int


@dataclass(frozen=True)
class SweepAbandoned(Event):
    """The process ends at once: no other event follows, not even a close.

    It does so at a second signal, or where Ray would not let it end.

    Attributes:
        advice: how to continue, in words.
        why: "interrupted", or "error".
    """

    handler = "on_abandoned"
    advice: str
    why: str = "interrupted"


@dataclass(frozen=True)
class SweepEnded(Event):
    """The run is over: summary.json as it is written."""

    handler = "on_end"
    summary: Summary


class Callback:
    """Watches a sweep. Override the methods that you need; none has to be.

    Instances are passed as ``callbacks=[Mine()]``. A class that is made without arguments can be
    named instead, ``callbacks=["module:Mine"]``, also on the command line: the name is kept with
    the run, and a resume makes and notifies it again.

    An exception in one of them switches this callback off, with a warning; the sweep continues.

    Example:
        >>> class Printer(Callback):
        ...     def on_result(self, event: TrialReported) -> None:
        ...         print(event.report.trial, event.report.env_steps)
        >>> callbacks = Callbacks(Callback(), [Printer()])
        >>> callbacks.notify(TrialReported(Report("t00", 1, 500, 500, 1.0, 20.0, {"lr": 1e-3})))
        t00 500
    """

    def on_event(self, event: Event) -> None:
        """Receives every event. Passes it on to the methods for its kind."""
        for handler in event.handlers:
            getattr(self, handler)(event)

    def on_start(self, event: SweepStarted) -> None:
        """The sweep starts, or continues."""

    def on_result(self, event: TrialReported) -> None:
        """A trial reported."""

    def on_status(self, event: StatusChanged) -> None:
        """A trial's status changed."""

    def on_checkpoint(self, event: CheckpointWritten) -> None:
        """A trial wrote a checkpoint."""

    def on_decision(self, event: DecisionApplied) -> None:
        """A scheduler's decision took effect, of any kind."""

    def on_exploit(self, event: DecisionApplied) -> None:
        """A trial continues with a donor's weights and new settings."""

    def on_stop(self, event: DecisionApplied) -> None:
        """A scheduler ended a trial before its budget was spent."""

    def on_trial_error(self, event: TrialFailed) -> None:
        """A trial failed; it may be tried again."""

    def on_notice(self, event: Notice) -> None:
        """There is something a person should know."""

    def on_evaluation(self, event: EvaluationStarted) -> None:
        """Training is over, and scoring begins."""

    def on_evaluation_progress(self, event: EvaluationProgressed) -> None:
        """Episodes were played for choosing or scoring."""

    def on_abandoned(self, event: SweepAbandoned) -> None:
        """The process is about to end, in a signal handler: take no lock, and no time."""

    def on_end(self, event: SweepEnded) -> None:
        """The run is over."""

    def close(self) -> None:
        """Releases files and the like. Called once, whether the sweep ended well or not."""


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
                self._switch_off(callback, error)

    def notice(self, text: str) -> None:
        """Notifies of something a person should know."""
        self.notify(Notice(text))

    def evaluated(self, phase: str, done: int, of: int) -> None:
        """Notifies of the progress of an evaluation."""
        self.notify(EvaluationProgressed(phase, done, of))

    def close(self) -> None:
        """Closes every callback."""
        for callback in list(self._others):
            try:
                callback.close()
            except Exception as error:
                self._switch_off(callback, error)
        self._writer.close()

    def _switch_off(self, callback: Callback, error: Exception) -> None:
        self._others.remove(callback)
        told = f"The callback {type(callback).__name__} raised {headline(error)}"
        log.warning(
            "%s. It is switched off; the sweep continues without it",
            str(error) if isinstance(error, RltuneError) else told,
            exc_info=log.isEnabledFor(logging.DEBUG),
        )
