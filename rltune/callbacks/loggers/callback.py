"""Events of a sweep as calls of a logger, which another process makes."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from rltune.callbacks.base import (
    Callback,
    Event,
    StatusChanged,
    SweepEnded,
    SweepStarted,
    TrialReported,
)
from rltune.callbacks.loggers.base import Made, Status
from rltune.callbacks.loggers.process import PATIENCE, LoggerFailed, LoggerProcess
from rltune.callbacks.loggers.trackers import TRACKERS, check_loggers
from rltune.callbacks.tensorboard import curves
from rltune.callbacks.tensorboard.champion import lived
from rltune.errors import BadInput, RltuneError
from rltune.processes.tracebacks import headline
from rltune.request.secrets import is_secret
from rltune.runs import lineage
from rltune.runs.folder import BEST, RunFolder
from rltune.runs.lineage import Segment
from rltune.runs.records import Report
from rltune.runs.summary_record import Summary
from rltune.spec import RunSpec

#: Seconds between two messages to the process: what is reported between them is sent together.
_EVERY = 1.0
#: Seconds after which a person is told what the end of the sweep waits for.
_PATIENT = 10.0

log = logging.getLogger("rltune")


class LoggerCallback(Callback):
    """Logs a sweep with one tracker. No event waits for the tracker's library.

    Attributes:
        process: in which the library runs.
    """

    def __init__(self, name: str) -> None:
        self.process = LoggerProcess(name)
        self._failed_early: LoggerFailed | None = None
        self._failure: LoggerFailed | None = None
        self._calls: SimpleQueue[Sequence[Any]] = SimpleQueue()
        self._closing = threading.Event()
        self._status: Status = "stopped"
        self._thread: threading.Thread | None = None
        self._open: dict[str, Mapping[str, Any]] = {}

    def check(self) -> None:
        """Asks the library whether it can be used, where only the library knows.

        Raises:
            BadInput: it cannot, with the user's settings.
        """
        try:
            if TRACKERS[self.process.name].is_asked:
                self.process.check()
        except LoggerFailed as failure:
            self._failed_early = failure

    # Events ------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Passes an event on, or raises what has gone wrong since the last one."""
        if self._failure is not None:
            raise self._failure
        super().on_event(event)

    def on_start(self, event: SweepStarted) -> None:
        """Begins to log, in a thread that waits for the process."""
        self._spec, self._folder = event.spec, event.folder
        if self._failed_early is not None:
            raise self._with_log(self._failed_early)
        self._scored_before = event.folder.has("summary.json")
        made = Made.file(self.process.name)
        known = event.folder.has(made)
        self._logged = dict(event.folder.read(made, Made).logged) if known else {}
        self._thread = threading.Thread(target=self._send, name=self.process.name, daemon=True)
        self._thread.start()
        for trial in event.folder.trials():
            for report in event.folder.reports(trial):
                if report.env_steps > self._logged.get(trial, -1):
                    self._report(report, None)  # it was not logged when it came

    def on_result(self, event: TrialReported) -> None:
        """Logs the points of a report, and the trial's settings where they are new."""
        self._report(event.report, event.seconds)

    def _report(self, report: Report, seconds: float | None) -> None:
        trial = report.trial
        if trial not in self._open:
            self._call("open", trial, without_secrets({**self._spec.settings, **report.settings}))
        elif self._open[trial] != report.settings:
            self._call("settings", trial, report.settings)
        self._open[trial] = report.settings
        if report.env_steps <= self._logged.get(trial, -1):
            return  # made again after a kill or a failure: no tracker can take points back
        self._logged[trial] = report.env_steps
        points = curves.curves_of(report, self._spec.space) | curves.speed(report, seconds)
        self._call("points", trial, [_point(report.env_steps, points)])

    def on_status(self, event: StatusChanged) -> None:
        """Ends the run of a trial that is over."""
        if event.status in ("TERMINATED", "ERROR"):
            self._open.pop(event.trial, None)
            self._call("close", event.trial, "failed" if event.status == "ERROR" else "finished")

    def on_end(self, event: SweepEnded) -> None:
        """Logs the champion."""
        self._status = "finished"
        if event.summary.best is not None:
            for call in champion_calls(self._folder, event.summary):
                if not (self._scored_before and call[0] == "points"):
                    self._calls.put(call)
        self._closing.set()  # all trackers conclude at the same time

    def close(self) -> None:
        """Waits until all is logged, as long as the process answers; ends it.

        Raises:
            LoggerFailed: since the last event.
        """
        self._closing.set()
        try:
            if self._thread is not None:
                self._thread.join(_PATIENT)
                if self._thread.is_alive():
                    log.warning("waiting for %s to log the rest", self.process.name)
                self._thread.join(2 * PATIENCE)
                if self._thread.is_alive():
                    name = self.process.name
                    raise LoggerFailed(f"{name} has not logged all within {2 * PATIENCE:g} seconds")
        finally:
            self.process.close()
        if self._failure is not None:
            raise self._failure

    def _call(self, method: str, run: str, *arguments: Any) -> None:
        self._calls.put((method, run, *arguments))

    # The thread --------------------------------------------------------------------------------

    def _send(self) -> None:
        """Sends calls until the sweep is over, or the process fails."""
        try:
            self.process.ask(start=[str(self._folder.path), self._spec.name, _config(self._spec)])
            while not self._closing.wait(_EVERY):
                self._send_waiting()
            self._send_waiting()
            self.process.ask(end=[self._status])
        except Exception as error:
            self._failure = self._with_log(error)

    def _with_log(self, error: Exception) -> LoggerFailed:
        """A failure that names the file with what the process has printed."""
        self.process.wait()
        self.process.close()
        told = str(error) if isinstance(error, RltuneError) else headline(error)
        name = f"loggers/{self.process.name}.log"
        self._folder.write_text(name, self.process.printed())
        return LoggerFailed(f"{told} (see {self._folder.shown}/{name})")

    def _send_waiting(self) -> None:
        calls = []
        try:
            while True:
                calls.append(self._calls.get_nowait())
        except Empty:
            if calls:
                self.process.ask(make=[calls])


@contextmanager
def started(names: Sequence[str]) -> Iterator[list[LoggerCallback]]:
    """Starts the processes of trackers; whatever happens, none is left.

    Raises:
        BadInput: see :func:`check_loggers`.
    """
    check_loggers(names)
    callbacks: list[LoggerCallback] = []
    try:
        for name in names:
            callbacks.append(LoggerCallback(name))
        yield callbacks
    finally:
        for callback in callbacks:
            callback.process.close()


def checked(callbacks: Sequence[LoggerCallback]) -> Sequence[LoggerCallback]:
    """Asks libraries whether the user can log in, and returns the callbacks.

    Raises:
        BadInput: with every one that cannot be used with the user's settings.
    """
    problems = []
    for callback in callbacks:
        try:
            callback.check()
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return callbacks


def champion_calls(folder: RunFolder, summary: Summary) -> Iterator[Sequence[Any]]:
    """What is logged of the best policy: its curve, lineage, score and checkpoint."""
    best, spec = summary.best, folder.spec
    assert best is not None
    again = len(spec.extensions)
    run = f"champion-{again + 1}" if again else "champion"  # points of the former one stay
    yield "open", run, without_secrets(best.config)
    segments = lineage.segments(folder, best.trial, best.env_steps)
    points = [
        _point(step, curves.curves_of(report, spec.space))
        for step, report in lived(folder, segments)
    ]
    yield "points", run, points
    if segments:
        yield "lineage", run, [_row(segment) for segment in segments]
    scores = {} if summary.evaluation is None else curves.scores(summary.evaluation)
    if best.score is not None and math.isfinite(best.score):
        scores["score"] = best.score
    yield "scores", run, scores
    paths = [folder.path / name for name in (BEST, "best/preset.toml") if folder.has(name)]
    if paths:
        yield "artifact", run, "best", list(map(str, paths))
    yield "close", run, "finished"


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings but for those of a function that are secrets by their names."""
    return {name: value for name, value in settings.items() if not is_secret(name)}


def _row(segment: Segment) -> dict[str, Any]:
    """A line of the lineage's table."""
    return {
        "from_step": segment.first,
        "to_step": segment.last,
        "trial": segment.trial,
        "donor": segment.donor or "",
        **segment.settings,
    }


def _point(step: int, values: Mapping[str, float]) -> tuple[int, dict[str, float]]:
    return step, {tag: value for tag, value in values.items() if math.isfinite(value)}


def _config(spec: RunSpec) -> dict[str, Any]:
    """What a sweep was asked for, in a few words."""
    budget = spec.budget
    return {
        "algo": spec.algo,
        "env": spec.env_id,
        "metric": spec.metric,
        "mode": spec.mode,
        "scheduler": budget.scheduler,
        "searcher": budget.searcher,
        "trials": budget.trials,
        "steps": budget.steps,
        "seed": spec.seed,
        "command": " ".join(spec.command),
        **{f"version_{name}": version for name, version in spec.versions.items()},
    }
