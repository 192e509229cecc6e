"""What every trial adds to Tune's: its storage, its clocks, what it may load. No RLlib."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from ray.train._internal.storage import StorageContext
from ray.tune import Checkpoint
from ray.tune.result import TIME_THIS_ITER_S
from ray.tune.trainable.trainable import _DICT_CHECKPOINT_FILE_NAME

from rltune.algorithms import heartbeat
from rltune.engine.metric_names import SECONDS
from rltune.errors import BadCheckpoint
from rltune.runs import checkpoints
from rltune.runs.records import Exploit, TrialRecord
from rltune.runs.remote import copy as working_copies
from rltune.schedulers.base import TIME


class TidyStorage(StorageContext):
    """Tune's storage of a trial, its checkpoints in a folder of their own."""

    @property
    def checkpoint_dir_name(self) -> str:
        """``checkpoints/checkpoint_000001``."""
        return f"checkpoints/{super().checkpoint_dir_name}"

    def persist_current_checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        """Puts a checkpoint in its place, and into the store of the run, if it has one.

        A working copy need not be there on this machine; Tune takes that for a storage which not
        all machines share.
        """
        if working_copies.copy_of(Path(self.checkpoint_fs_path)) is not None:
            self._create_validation_file()
        saved = super().persist_current_checkpoint(checkpoint)
        working_copies.wrote(Path(saved.path))
        return saved


class TrialStorageMixin:
    """Mixed into every trainable: its checkpoints' place, and no pickle of Tune's in them."""

    _storage: Any
    _iteration: int
    _last_result: dict[str, Any] | None
    _time_total: float
    #: Training seconds of the trial at the checkpoint that it was restored from; None where that
    #: does not hold them.
    _restored_seconds: float | None = None

    def tidy_storage(self) -> None:
        """Puts checkpoints in a folder of their own; without effect outside a trial.

        From then on the process tells its sweep that it lives.
        """
        if self._storage is not None:
            heartbeat.start()
            self._storage.__class__ = TidyStorage

    def restore(self, checkpoint_path: Any) -> None:
        """Tune's, which would open a pickle of its own that rltune never writes.

        What a store has and this machine has not is fetched before: Tune looks for it here.

        Raises:
            BadCheckpoint: there is one.
        """
        found = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        checkpoint = Checkpoint.from_directory(found) if isinstance(found, str) else found
        checkpoints.complete(checkpoint.path)
        pickled = f"{checkpoint.path}/{_DICT_CHECKPOINT_FILE_NAME}"
        if checkpoint.filesystem.get_file_info(pickled).is_file:
            raise BadCheckpoint(f"{pickled} is a pickle that rltune did not write: remove it")
        super().restore(checkpoint_path)  # type: ignore[misc]
        seconds, self._restored_seconds = self._restored_seconds, None
        if seconds is not None:
            self._time_total = seconds  # Tune's are the donor's, of a donor's checkpoint

    def seconds_from(self, record: TrialRecord, exploit: Exploit | None) -> None:
        """Continues the trial's training seconds from a checkpoint.

        Args:
            exploit: what made the checkpoint another trial's; None for one of its own.
        """
        seconds = record.seconds if exploit is None else exploit.seconds
        self._restored_seconds = seconds or None  # 0 in files of earlier versions

    def count_from(self, clock: int) -> None:
        """Says what a checkpoint counts that is written after a restore, before any report.

        Tune takes it from the last report (ray 2.60, Trainable.save), and there is none.
        """
        if not self._last_result:
            self._last_result = {TIME: clock, "training_iteration": self._iteration}


def timed(step: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Reports what a step takes on a clock that cannot jump.

    Tune takes it from the time of day (ray 2.60, Trainable.train), which somebody may set back.
    A metric ``seconds`` of the user's own is left as it is.
    """

    @wraps(step)
    def measured(trial: Any, *args: Any) -> dict[str, Any]:
        began = time.monotonic()
        result = step(trial, *args)
        took = time.monotonic() - began
        spent = round(trial._time_total + took, 3)
        return {SECONDS: spent, **result, TIME_THIS_ITER_S: took}

    return measured
