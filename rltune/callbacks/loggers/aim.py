"""Aim: an experiment for each sweep, in the repository of the current folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aim

from rltune.callbacks.loggers.base import Logger, Points, Status, as_markdown


class AimLogger(Logger):
    """Logs to ``.aim`` in the current folder or above it, as ``aim up`` shows it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._runs: dict[str, aim.Run] = {}

    def open(self, run: str, config: Mapping[str, Any]) -> None:
        """Begins or continues a run of Aim's."""
        known = self.sweep.ids.get(run)
        made = aim.Run(
            known,
            force_resume=known is not None,  # a killed process has left its lock
            experiment=self.sweep.name,
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )
        made.name = f"{self.sweep.name}/{run}"
        if config:
            made["settings"] = dict(config)
        made["rltune"] = dict(self.sweep.config)
        self.sweep.ids[run] = made.hash
        self._runs[run] = made

    def points(self, run: str, points: Points) -> None:
        """Tracks values, whose step are environment steps."""
        for step, values in points:
            for tag, value in values.items():
                self._runs[run].track(value, name=tag, step=step)

    def settings(self, run: str, settings: Mapping[str, Any]) -> None:
        """Replaces the settings among the run's parameters."""
        for name, value in settings.items():
            self._runs[run]["settings", name] = value

    def scores(self, run: str, scores: Mapping[str, float]) -> None:
        """Adds scores to the run's parameters."""
        self._runs[run]["scores"] = dict(scores)

    def lineage(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Tracks the table as text."""
        self._runs[run].track(aim.Text(as_markdown(rows)), name="lineage")

    def artifact(self, run: str, name: str, paths: Sequence[Path]) -> None:
        """Copies files and folders to the run's artifacts, which lie in the repository."""
        made = self._runs[run]
        if made.artifacts_uri is None:
            made.set_artifacts_uri(f"file://{Path(made.repo.path).resolve() / 'artifacts'}")
        for path in paths:
            files = [each for each in path.rglob("*") if each.is_file()] or [path]
            for file in files:
                place = f"{name}/{file.relative_to(path.parent)}"
                made.log_artifact(str(file), place, block=True)

    def close(self, run: str, status: Status) -> None:
        """Ends the run."""
        self._runs.pop(run).close()

    def end(self, status: Status) -> None:
        """Ends what is still open."""
        for run in list(self._runs):
            self.close(run, status)


LOGGER = AimLogger
