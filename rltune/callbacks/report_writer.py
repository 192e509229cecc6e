"""Writes the report of a run at its end."""

from __future__ import annotations

from rltune.callbacks.base import Callback, SweepEnded
from rltune.reports.write import write_report
from rltune.runs.folder import RunFolder


class ReportWriter(Callback):
    """Writes report.html once summary.json is there. What it raises does not end the run."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def on_end(self, event: SweepEnded) -> None:
        """Writes the report."""
        write_report(self._folder.path)
