"""The trials of a sweep as of their last checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial

from rltune.errors import BadCheckpoint
from rltune.request.trust import saved_trials
from rltune.runs import checkpoints
from rltune.runs.checkpoints import POLICY_FILE, RECORD_FILE
from rltune.runs.folder import RunFolder
from rltune.runs.names import number_of
from rltune.schedulers.base import TIME
from rltune.spec import RunSpec
from rltune.sweeps.ray_adapter.trials import last_saved, start_from

#: Checkpoints a trial keeps. With fewer a donor's could go before its clone has read it.
CHECKPOINTS_KEPT = 4


@dataclass(frozen=True)
class Entry:
    """A trial as of its last checkpoint. Paths are relative to the run folder, which may move.

    Attributes:
        config: its settings, seed and last exploit.
        checkpoint: the last one it wrote itself; None while there is none.
        start: what its next start loads: its own, or a donor's.
        checkpoint_index: number of the last checkpoint it wrote.
        env_steps: its clock.
        failures: how often it has failed.
    """

    id: str
    status: str
    config: Mapping[str, Any]
    checkpoint: str | None
    start: str | None
    checkpoint_index: int
    training_iteration: int
    env_steps: int
    failures: int

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.status in (Trial.TERMINATED, Trial.ERROR)

    @property
    def number(self) -> int:
        """The trial's place in the order in which trials were made."""
        return number_of(self.id)


class TrialTable:
    """Knows every trial that was ever made: where it is, and what its next start loads.

    Args:
        keeps_every_policy: whether a checkpoint that no trial continues from keeps its policy.

    Attributes:
        unfinished: trials of a saved state that continue, those that ran first.
        handed_out: trials that were ever made.
        changed: whether there is something new to save.
    """

    def __init__(self, spec: RunSpec, folder: RunFolder, keeps_every_policy: bool) -> None:
        self._spec = spec
        self._folder = folder
        self._keeps_every_policy = keeps_every_policy
        entries = [Entry(**body) for body in saved_trials(folder)]
        self.unfinished = sorted(
            (entry for entry in entries if not entry.finished),
            key=lambda entry: (entry.status != Trial.RUNNING, entry.number),
        )
        self._entries = {entry.id: entry for entry in entries}
        self._trials: dict[str, Trial] = {}
        self.handed_out = len(entries)
        self._used: set[str] = set()
        self.changed = False

    def restore(self) -> None:
        """Brings the trials' logs and checkpoints back to the state that was saved."""
        for name in self._folder.trials():
            entry = self._entries.get(name)
            if entry is None or not entry.finished:
                self._folder.discard_reports(name, 0 if entry is None else entry.env_steps)
                self._folder.discard_checkpoints(
                    name, -1 if entry is None else entry.checkpoint_index
                )

    def config_of(self, entry: Entry) -> dict[str, Any]:
        """A trial's settings, with paths that hold where the run folder lies now."""
        return _with_memory(entry.config, lambda path: str(self._folder.path / path))

    def start_of(self, entry: Entry) -> Path | None:
        """The checkpoint that a trial continues from."""
        return None if entry.start is None else self._folder.path / entry.start

    def added(self, trial: Trial, entry: Entry | None = None) -> None:
        """A trial was made, or made again from a state."""
        self._trials[trial.trial_id] = trial
        self._entries[trial.trial_id] = entry or Entry(
            trial.trial_id, trial.status, self._kept(trial.config), None, None, -1, 0, 0, 0
        )
        self.handed_out = len(self._entries)
        self.changed = True

    def saved(self, trial: Trial) -> None:
        """A trial has written a checkpoint."""
        entry = self._entries[trial.trial_id]
        saved = last_saved(trial)
        assert saved is not None
        path = self._relative(saved.path)
        self._entries[trial.trial_id] = replace(
            entry,
            checkpoint=path,
            checkpoint_index=int(path.rpartition("_")[2]),
            env_steps=saved.report[TIME],
            training_iteration=saved.report["training_iteration"],
        )
        self.changed = True

    def step_back(self, trial: Trial) -> None:
        """Lets a trial start from the newest of its checkpoints that is whole.

        An exploit that has not borne a checkpoint yet keeps its donor's, where that is whole.
        """
        entry = self._entry(trial)
        start = self.start_of(entry)
        if start is None or self._is_whole(start):
            return
        own = sorted(self._folder.path.glob(f"trials/{trial}/checkpoints/checkpoint_*"))
        whole = next(
            (path for path in reversed(own) if path != start and self._is_whole(path)), None
        )
        start_from(trial, whole)
        self._entries[trial.trial_id] = replace(
            entry,
            checkpoint=self._relative(whole) if whole else None,
            env_steps=self._folder.record(whole).env_steps if whole else 0,
        )

    def _is_whole(self, path: Path) -> bool:
        try:
            checkpoints.verify(path, self._spec.algo)
        except BadCheckpoint:
            return False
        return True

    def checkpoint_of(self, trial_id: str) -> Path | None:
        """The last checkpoint that a trial wrote itself."""
        entry = self._entries.get(trial_id)
        return (
            None if entry is None or not entry.checkpoint else self._folder.path / entry.checkpoint
        )

    def env_steps(self, trial_id: str) -> int:
        """A trial's clock at its last checkpoint."""
        return self._entries[trial_id].env_steps

    @property
    def statuses(self) -> dict[str, str]:
        """Of every trial, Tune's word for it."""
        live = {name: trial.status for name, trial in self._trials.items()}
        return {name: live.get(name, entry.status) for name, entry in self._entries.items()}

    def to_list(self) -> list[dict[str, Any]]:
        """Every trial as JSON holds it, as of now."""
        self._entries |= {name: self._entry(trial) for name, trial in self._trials.items()}
        return [asdict(entry) for entry in self._entries.values()]

    def _entry(self, trial: Trial) -> Entry:
        entry = self._entries[trial.trial_id]
        saved = last_saved(trial)
        return replace(
            entry,
            status=trial.status,
            config=self._kept(trial.config),
            start=None if saved is None else self._relative(saved.path),
            failures=trial.num_failures,
        )

    def _kept(self, config: Mapping[str, Any]) -> dict[str, Any]:
        names = {*self._spec.settings, "seed", "exploit"}
        kept = {name: value for name, value in config.items() if name in names}
        return _with_memory(kept, self._relative)

    def _relative(self, path: str | Path) -> str:
        return str(Path(path).relative_to(self._folder.path))

    def prune(self) -> None:
        """Keeps each trial's last checkpoints, and what this state or the last speaks of."""
        used = {
            path
            for entry in self._entries.values()
            for path in (entry.checkpoint, entry.start, _memory(entry.config))
            if path is not None
        }
        for name in self._trials:
            paths = sorted(self._folder.path.glob(f"trials/{name}/checkpoints/checkpoint_*"))
            for path in paths[:-CHECKPOINTS_KEPT]:
                if self._relative(path) in used | self._used:
                    continue
                if self._keeps_every_policy:
                    checkpoints.strip(path, (POLICY_FILE, RECORD_FILE))
                else:
                    shutil.rmtree(path, ignore_errors=True)
        self._used = used


def _memory(config: Mapping[str, Any]) -> str | None:
    path: str | None = (config.get("exploit") or {}).get("own_checkpoint")
    return path


def _with_memory(config: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """A configuration with the path of its own checkpoint changed."""
    path = _memory(config)
    if path is None:
        return dict(config)
    return {**config, "exploit": {**config["exploit"], "own_checkpoint": change(path)}}
