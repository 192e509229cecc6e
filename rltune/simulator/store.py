"""Checkpoints of simulated trials: files that are written when a scheduler asks for them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rltune.runs import checkpoints
from rltune.runs.records import TrialRecord
from rltune.simulator.result import Checkpoint


class CheckpointStore:
    """Sealed checkpoint folders in a temporary place.

    Args:
        algo: the algorithm's name, as the manifest has it.
    """

    def __init__(self, algo: str) -> None:
        self._algo = algo
        self._place: TemporaryDirectory[str] | None = None

    def path(self, trial: str, saved: Checkpoint) -> Path:
        """The folder of a trial's checkpoint; writes it the first time."""
        if self._place is None:
            self._place = TemporaryDirectory(prefix="rltune-simulation-")
        path = Path(self._place.name) / f"{trial}-{saved.env_steps}"
        if not path.exists():
            path.mkdir()
            TrialRecord(trial_id=trial, env_steps=saved.env_steps).write(path)
            (path / checkpoints.STATE_FILE).write_text(json.dumps(saved.weights))
            checkpoints.seal(path, self._algo)
        return path

    @staticmethod
    def weights(path: Path) -> Any:
        """The weights in a checkpoint."""
        return json.loads((path / checkpoints.STATE_FILE).read_text())

    def close(self) -> None:
        """Removes all of them."""
        if self._place is not None:
            self._place.cleanup()
            self._place = None
