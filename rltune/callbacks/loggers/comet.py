"""Comet: an experiment for each trial, tagged with the name of the sweep."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import comet_ml
from comet_ml.config import set_global_experiment

from rltune.callbacks.loggers.base import PROJECT, Logger, Points, Status, as_markdown


class CometLogger(Logger):
    """Logs to Comet, or to archives that ``comet upload`` sends: COMET_START_ONLINE=0."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._runs: dict[str, comet_ml.CometExperiment] = {}

    @classmethod
    def problem(cls) -> str | None:
        """A key is missing: Comet would ask for it at a prompt."""
        config = comet_ml.get_config()
        if config.get_bool(None, "comet.start.online", default=True) and not comet_ml.get_api_key(
            None, config
        ):
            return (
                "comet has no API key: log in with `comet login`, or set COMET_START_ONLINE=0 to "
                "keep what is logged on this machine"
            )
        return None

    def open(self, run: str, config: Mapping[str, Any]) -> None:
        """Begins or continues an experiment."""
        known = self.sweep.ids.get(run)
        named = os.environ.get("COMET_PROJECT_NAME", PROJECT)
        made = comet_ml.start(
            project_name=named,
            experiment_key=known,
            mode="create" if known is None else "get_or_create",
            experiment_config=comet_ml.ExperimentConfig(
                name=f"{self.sweep.name}/{run}",
                tags=[self.sweep.name],
                log_code=False,
                log_graph=False,
                parse_args=False,
                log_git_metadata=False,
                log_git_patch=False,
                log_env_details=False,
                auto_output_logging=False,
                display_summary_level=0,
            ),
        )
        # A new experiment ends the one that Comet takes for the only one of a process.
        set_global_experiment(None)
        made.log_parameters(dict(config))
        made.log_others(dict(self.sweep.config))
        self.sweep.ids[run] = made.get_key()
        self._runs[run] = made

    def points(self, run: str, points: Points) -> None:
        """Logs metrics, whose step are environment steps."""
        for step, values in points:
            self._runs[run].log_metrics(dict(values), step=step)

    def settings(self, run: str, settings: Mapping[str, Any]) -> None:
        """Replaces parameters."""
        self._runs[run].log_parameters(dict(settings))

    def scores(self, run: str, scores: Mapping[str, float]) -> None:
        """Logs metrics without a step."""
        self._runs[run].log_metrics(dict(scores))

    def lineage(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds the table as text."""
        self._runs[run].log_text(as_markdown(rows))

    def artifact(self, run: str, name: str, paths: Sequence[Path]) -> None:
        """Adds files and folders as a model."""
        for path in paths:
            self._runs[run].log_model(name, str(path))

    def close(self, run: str, status: Status) -> None:
        """Ends the experiment, which waits for its upload."""
        self._runs.pop(run).end()

    def end(self, status: Status) -> None:
        """Ends what is still open."""
        for run in list(self._runs):
            self.close(run, status)


LOGGER = CometLogger
