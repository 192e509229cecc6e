"""Writes a sweep into its run folder."""

from __future__ import annotations

from rltune.callbacks.base import (
    Callback,
    CheckpointWritten,
    DecisionApplied,
    Event,
    SweepEnded,
    TrialFailed,
    TrialReported,
)
from rltune.callbacks.phases import entered, phase
from rltune.runs.folder import RunFolder, rank
from rltune.spec import RunSpec


class RunWriter(Callback):
    """Writes reports, decisions, failures, the best checkpoint so far and the summary."""

    def __init__(self, spec: RunSpec, folder: RunFolder) -> None:
        self._goal = spec.goal
        self._folder = folder
        self._best = rank(folder.best_record, spec.goal)
        self._phase = ""

    def on_event(self, event: Event) -> None:
        """Adds a line to phases.jsonl where a phase begins or gets on, then writes the event."""
        if new := entered(event, self._phase):
            self._phase = new.name
            self._folder.append_phase(new)
        super().on_event(event)

    def on_result(self, event: TrialReported) -> None:
        """Adds a line to the trial's progress.jsonl, and its incidents to events.jsonl."""
        self._folder.append_report(event.report)
        for incident in event.incidents:
            self._folder.append_event(event.report.trial, incident)

    def on_checkpoint(self, event: CheckpointWritten) -> None:
        """Keeps the best checkpoint so far, so that a killed sweep has it too."""
        if self._folder.remote is not None:
            self._folder.remote.written(event.path)
        place = rank(self._folder.record(event.path), self._goal)
        if place > self._best:
            self._best = place
            self._folder.keep_best(event.path, event.trial)

    def on_decision(self, event: DecisionApplied) -> None:
        """Adds a line to decisions.jsonl."""
        self._folder.append_decision(event.decision)

    def on_trial_error(self, event: TrialFailed) -> None:
        """Adds a line to failures.jsonl and writes error.txt; moves reports that are lost aside."""
        self._folder.append_failure(event.trial, event.failure)
        self._folder.write_text(f"trials/{event.trial}/error.txt", f"{event.failure.traceback}\n")
        if event.continues_from is not None:
            self._folder.discard_reports(event.trial, event.continues_from)

    def on_end(self, event: SweepEnded) -> None:
        """Writes summary.json."""
        self._folder.write_summary(event.summary)

    def close(self) -> None:
        """Adds that the run stopped to phases.jsonl, unless it has ended."""
        if self._phase not in ("", "ended"):
            self._folder.append_phase(phase("stopped"))
