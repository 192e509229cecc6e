"""Draws a sweep for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rltune.callbacks.base import (
    Callback,
    DecisionApplied,
    SweepEnded,
    TrialFailed,
    TrialReported,
)
from rltune.callbacks.tensorboard import champion, curves, hparams
from rltune.callbacks.tensorboard.event_file import EventFile, is_drawn
from rltune.callbacks.tensorboard.texts import decision_text, failure_text
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec


class TensorBoardWriter(Callback):
    """Draws each trial as one run of TensorBoard's, and the champion as one more.

    The x axis of every curve are environment steps. After a resume or a failure the first event of
    a trial hides what it will repeat: a run looks in the end as if nothing had interrupted it.
    """

    def __init__(self, spec: RunSpec, folder: RunFolder) -> None:
        self._spec = spec
        self._folder = folder
        self._files: dict[str, EventFile] = {}
        self._settings: dict[str, Mapping[str, Any]] = {}

    def on_result(self, event: TrialReported) -> None:
        """Adds a point to each curve of a trial, and writes its settings where they are new."""
        report = event.report
        points = {
            **event.further,
            **curves.curves_of(report, self._spec.space),
            **curves.speed(report, event.seconds),
        }
        self._file(report.trial, report.env_steps).add_scalars(points, report.env_steps)
        if self._settings.get(report.trial) != report.settings:
            self._settings[report.trial] = report.settings
            if self._spec.space:
                hparams.write_settings(self._path(report.trial), self._spec, report.settings)

    def on_decision(self, event: DecisionApplied) -> None:
        """Adds a text: an exploit, a restore, a stop."""
        decision = event.decision
        before = self._settings.get(decision.trial)
        if before is None and (rows := self._folder.reports(decision.trial)):
            before = rows[-1].settings
        text = decision_text(decision, before)
        file = self._file(decision.trial, decision.env_steps + 1)
        file.add_text(f"events/{decision.kind}", text, decision.env_steps)

    def on_trial_error(self, event: TrialFailed) -> None:
        """Adds a text; hides what a trial that is tried again will repeat."""
        at = event.continues_from
        if at is not None:
            self._files.pop(event.trial, None)
        else:
            at = event.failure.env_steps or 0
        text = failure_text(event.failure, event.continues_from)
        self._file(event.trial, at + 1).add_text("events/failure", text, at)

    def on_end(self, event: SweepEnded) -> None:
        """Draws the champion."""
        champion.draw(self._folder, event.summary)

    def _file(self, trial: str, purge_step: int) -> EventFile:
        """The event file of a trial; a new one hides what an earlier part drew of later steps."""
        if trial not in self._files:
            again = is_drawn(self._path(trial))
            self._files[trial] = file = EventFile(self._path(trial), purge_step)
            for decision in self._folder.decisions() if again else ():
                # Made again after a kill, but not written again: its text must not be lost.
                if decision.trial == trial and decision.env_steps >= purge_step:
                    text = decision_text(decision, None)
                    file.add_text(f"events/{decision.kind}", text, decision.env_steps)
        return self._files[trial]

    def _path(self, trial: str) -> Path:
        return self._folder.path / "trials" / trial
