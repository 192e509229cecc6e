"""MLflow: a run for each sweep, with a run for each trial below it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import get_tracking_uri, set_tracking_uri
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from rltune.callbacks.loggers.base import PROJECT, Logger, Points, Status, as_markdown

#: Name, among the ids, of where a run that sets no MLFLOW_TRACKING_URI is kept, and of its own run.
_STORE, _SWEEP = "tracking_uri", "sweep"
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
#: The most metrics and the most parameters that MLflow takes at a time, and characters of a value.
_METRICS, _PARAMS, _LONGEST = 1_000, 100, 6_000


class MlflowLogger(Logger):
    """Logs to MLFLOW_TRACKING_URI, or to MLflow's own default, in MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        ids = self.sweep.ids
        if _STORE in ids and not os.environ.get("MLFLOW_TRACKING_URI"):
            set_tracking_uri(ids[_STORE])  # the default depends on the current folder
        ids[_STORE] = get_tracking_uri()
        self._client = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(name)
        self._experiment = known.experiment_id if known else self._client.create_experiment(name)
        self._open_run(_SWEEP, self.sweep.name, self.sweep.config, {})
        self._open: set[str] = set()

    def open(self, run: str, config: Mapping[str, Any]) -> None:
        """Begins or continues a run below the sweep's."""
        parent = {MLFLOW_PARENT_RUN_ID: self.sweep.ids[_SWEEP]}
        self._open_run(run, f"{self.sweep.name}/{run}", config, parent)
        self._open.add(run)

    def _open_run(
        self, run: str, name: str, config: Mapping[str, Any], tags: Mapping[str, str]
    ) -> None:
        ids = self.sweep.ids
        if run in ids:
            try:
                self._client.update_run(ids[run], "RUNNING")
                return
            except MlflowException:
                del ids[run]  # another store than that of the part before
        made = self._client.create_run(self._experiment, run_name=name, tags=dict(tags))
        ids[run] = made.info.run_id
        params = [Param(_named(name), str(value)[:_LONGEST]) for name, value in config.items()]
        for first in range(0, len(params), _PARAMS):
            self._client.log_batch(ids[run], params=params[first : first + _PARAMS])

    def points(self, run: str, points: Points) -> None:
        """Logs metrics, whose step are environment steps."""
        now = int(time.time() * 1_000)
        metrics = [
            Metric(_named(tag), value, now, step)
            for step, values in points
            for tag, value in values.items()
        ]
        for first in range(0, len(metrics), _METRICS):
            self._client.log_batch(
                self.sweep.ids[run], metrics=metrics[first : first + _METRICS], synchronous=True
            )

    def settings(self, run: str, settings: Mapping[str, Any]) -> None:
        """Sets tags: MLflow's parameters cannot change."""
        tags = [RunTag(f"now.{_named(name)}", str(value)) for name, value in settings.items()]
        self._client.log_batch(self.sweep.ids[run], tags=tags)

    def scores(self, run: str, scores: Mapping[str, float]) -> None:
        """Logs metrics of the champion, and of the sweep."""
        for each in (run, _SWEEP):
            self.points(each, [(0, scores)])

    def lineage(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds the table as text."""
        self._client.log_text(self.sweep.ids[run], as_markdown(rows), "lineage.md")

    def artifact(self, run: str, name: str, paths: Sequence[Path]) -> None:
        """Adds files and folders below ``best``."""
        for path in paths:
            if path.is_dir():
                self._client.log_artifacts(self.sweep.ids[run], str(path), f"{name}/{path.name}")
            else:
                self._client.log_artifact(self.sweep.ids[run], str(path), name)

    def close(self, run: str, status: Status) -> None:
        """Ends the run."""
        self._open.discard(run)
        self._client.set_terminated(self.sweep.ids[run], _STATUS[status])

    def end(self, status: Status) -> None:
        """Ends the sweep's run, and what is still open."""
        for run in (*self._open, _SWEEP):
            self._client.set_terminated(self.sweep.ids[run], _STATUS[status])


def _named(name: str) -> str:
    """A name as MLflow takes it: without ``@`` and the like."""
    return re.sub(r"[^\w\-./ :]", "_", name)


LOGGER = MlflowLogger
