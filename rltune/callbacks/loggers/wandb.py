"""Weights & Biases: a group for each sweep, in the project WANDB_PROJECT or ``rltune``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from rltune.callbacks.loggers.base import PROJECT, STEP, Logger, Points, Status


class WandbLogger(Logger):
    """Logs to W&B, or to files that ``wandb sync`` uploads where the user's mode is offline."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._runs: dict[str, wandb.Run] = {}

    @classmethod
    def problem(cls) -> str | None:
        """A key is missing: W&B would ask for it at a prompt."""
        if wandb.setup().settings.mode not in ("online", "shared") or wandb.login(prompt=False):
            return None
        return (
            "wandb has no API key: log in with `wandb login`, or set WANDB_MODE=offline to keep "
            "what is logged on this machine"
        )

    def open(self, run: str, config: Mapping[str, Any]) -> None:
        """Begins or continues a W&B run."""
        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
        )
        known = self.sweep.ids.get(run)
        made = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=self.sweep.name,
            job_type=run.partition("-")[0] if run.startswith("champion") else "trial",
            name=f"{self.sweep.name}/{run}",
            id=known,
            resume=None if known is None else "allow",
            reinit="create_new",
            config={**config, "rltune": dict(self.sweep.config)},
            settings=settings,
        )
        made.define_metric(STEP, hidden=True)
        made.define_metric("*", step_metric=STEP)
        self.sweep.ids[run] = made.id
        self._runs[run] = made

    def points(self, run: str, points: Points) -> None:
        """Logs rows of W&B's history."""
        for step, values in points:
            self._runs[run].log({**values, STEP: step})

    def settings(self, run: str, settings: Mapping[str, Any]) -> None:
        """Replaces values of the run's config."""
        self._runs[run].config.update(dict(settings), allow_val_change=True)

    def scores(self, run: str, scores: Mapping[str, float]) -> None:
        """Writes the run's summary."""
        self._runs[run].summary.update(dict(scores))

    def lineage(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Logs a table, its cells as text."""
        cells = [[str(value) for value in row.values()] for row in rows]
        self._runs[run].log({"lineage": wandb.Table(columns=[*rows[0]], data=cells)})

    def artifact(self, run: str, name: str, paths: Sequence[Path]) -> None:
        """Logs an artifact of the type ``model``."""
        artifact = wandb.Artifact(f"{self.sweep.name}-{name}", type="model")
        for path in paths:
            if path.is_dir():
                artifact.add_dir(str(path), name=path.name)
            else:
                artifact.add_file(str(path))
        self._runs[run].log_artifact(artifact)

    def close(self, run: str, status: Status) -> None:
        """Finishes the W&B run, which waits for its upload."""
        self._runs.pop(run).finish(exit_code=int(status != "finished"))

    def end(self, status: Status) -> None:
        """Finishes what is still open."""
        for run in list(self._runs):
            self.close(run, status)


LOGGER = WandbLogger
