"""The trials of a sweep as of their last checkpoints."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial

from rltune.errors import BadCheckpoint, BadInput
from rltune.request.trust import saved_trials
from rltune.runs import checkpoints
from rltune.runs.checkpoints import POLICY_FILE, RECORD_FILE, REPLAY_FILE
from rltune.runs.folder import RunFolder, rank
from rltune.runs.names import number_of
from rltune.schedulers.base import TIME
from rltune.spec import RunSpec
from rltune.sweeps.ray_adapter.trials import last_saved, start_from

#: Newest checkpoints that a trial keeps, beside the best of its older ones. With fewer a donor's
#: could go before its clone has read it.
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
    def paths(self) -> list[str]:
        """Checkpoints that it speaks of."""
        found = (self.checkpoint, self.start, _memory(self.config))
        return [path for path in found if path is not None]

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
        self._entries: dict[str, Entry] = {}
        #: How many entries speak of each path, and paths that the last state spoke of and this
        #: one does not.
        self._uses: Counter[str] = Counter()
        self._released: set[str] = set()
        for entry in entries:
            self._put(entry)
        #: See :attr:`live`, and what their entries were made from.
        self._trials: dict[str, Trial] = {}
        self._seen: dict[str, tuple[Any, Any]] = {}
        #: Trials that may have more checkpoints than they keep, and checkpoints that were pruned.
        self._grown: set[str] = set()
        self._pruned: set[str] = set()
        #: How good older checkpoints are that are kept.
        self._ranks: dict[str, tuple[bool, float, int]] = {}
        self.handed_out = len(entries)
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
        self._put(
            entry
            or Entry(
                trial.trial_id, trial.status, self._kept(trial.config), None, None, -1, 0, 0, 0
            )
        )
        self.handed_out = len(self._entries)
        self.changed = True

    def saved(self, trial: Trial) -> None:
        """A trial has written a checkpoint."""
        entry = self._entries[trial.trial_id]
        saved = last_saved(trial)
        assert saved is not None
        path = self._relative(saved.path)
        self._put(
            replace(
                entry,
                checkpoint=path,
                checkpoint_index=int(path.rpartition("_")[2]),
                env_steps=saved.report[TIME],
                training_iteration=saved.report["training_iteration"],
            )
        )
        self._trials[trial.trial_id] = trial
        self._grown.add(trial.trial_id)
        self.changed = True

    def step_back(self, trial: Trial) -> None:
        """Lets a trial start from the newest of its checkpoints that is whole.

        An exploit that has not borne a checkpoint yet keeps its donor's, where that is whole.
        """
        self._update(trial)
        entry = self._entries[trial.trial_id]
        start = self.start_of(entry)
        if start is None or self._is_whole(start):
            return
        own = sorted(self._folder.path.glob(f"trials/{trial}/checkpoints/checkpoint_*"))
        whole = next(
            (path for path in reversed(own) if path != start and self._is_whole(path)), None
        )
        start_from(trial, whole)
        self._put(
            replace(
                entry,
                checkpoint=self._relative(whole) if whole else None,
                env_steps=self._folder.record(whole).env_steps if whole else 0,
            )
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

    @property
    def live(self) -> list[Trial]:
        """Trials that have not ended, and those that have since :meth:`forget_ended`."""
        return list(self._trials.values())

    def training(self) -> dict[str, bool]:
        """Whether each trial that has not ended trains, by its id."""
        ended = (Trial.TERMINATED, Trial.ERROR)
        return {
            name: trial.status == Trial.RUNNING
            for name, trial in self._trials.items()
            if trial.status not in ended
        }

    def forget_ended(self) -> None:
        """Looks no more at trials that have ended, once that is in their entries."""
        for name in [name for name in self._trials if self._entries[name].finished]:
            del self._trials[name]
            self._seen.pop(name, None)

    def to_list(self) -> list[Mapping[str, Any]]:
        """Every trial as JSON holds it, as of now; the same object where nothing has changed."""
        for trial in self._trials.values():
            self._update(trial)
        return [vars(entry) for entry in self._entries.values()]

    def _update(self, trial: Trial) -> None:
        """Brings the entry of a trial up to date."""
        name, saved = trial.trial_id, last_saved(trial)
        start = None if saved is None else saved.path
        seen = (trial.status, start, trial.num_failures)
        config, before = self._seen.get(name, (None, None))
        if config is not trial.config or before != seen:
            self._seen[name] = trial.config, seen
            self._put(
                replace(
                    self._entries[name],
                    status=trial.status,
                    config=self._kept(trial.config),
                    start=None if start is None else self._relative(start),
                    failures=trial.num_failures,
                )
            )

    def _put(self, entry: Entry) -> None:
        before = self._entries.get(entry.id)
        for path in before.paths if before else ():
            self._uses[path] -= 1
            self._released.add(path)
        self._uses.update(entry.paths)
        self._entries[entry.id] = entry

    def _kept(self, config: Mapping[str, Any]) -> dict[str, Any]:
        names = {*self._spec.settings, "seed", "exploit"}
        kept = {name: value for name, value in config.items() if name in names}
        return _with_memory(kept, self._relative)

    def _relative(self, path: str | Path) -> str:
        return str(Path(path).relative_to(self._folder.path))

    def prune(self) -> None:
        """Keeps each trial's last checkpoints, its best, and what this or the last state names."""
        for name in sorted(self._grown):
            paths = sorted(self._folder.path.glob(f"trials/{name}/checkpoints/checkpoint_*"))
            old = {self._relative(path): path for path in paths[:-CHECKPOINTS_KEPT]}
            needed = {own for own in old if self._uses[own] or own in self._released}
            best = None if self._keeps_every_policy else max(old, key=self._rank, default=None)
            for own in old.keys() - needed - self._pruned:
                self._discard(own, old[own], own == best)
            if not needed:
                self._grown.discard(name)
        self._released.clear()

    def _discard(self, own: str, path: Path, is_best: bool) -> None:
        """Removes a checkpoint that no trial continues from, or what only a trial needs of it."""
        if is_best:
            if (path / REPLAY_FILE).exists():
                names = {child.name for child in path.iterdir()}
                checkpoints.strip(path, names - {REPLAY_FILE})
            return
        self._pruned.add(own)
        self._ranks.pop(own, None)
        if self._keeps_every_policy:
            checkpoints.strip(path, (POLICY_FILE, RECORD_FILE))
        else:
            shutil.rmtree(path, ignore_errors=True)

    def _rank(self, own: str) -> tuple[bool, float, int]:
        """Where a checkpoint stands among those of its trial."""
        if own not in self._ranks:
            try:
                record = self._folder.record(self._folder.path / own)
            except BadInput:  # it is damaged
                record = None
            self._ranks[own] = rank(record, self._spec.goal)
        return self._ranks[own]


def _memory(config: Mapping[str, Any]) -> str | None:
    path: str | None = (config.get("exploit") or {}).get("own_checkpoint")
    return path


def _with_memory(config: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """A configuration with the path of its own checkpoint changed."""
    path = _memory(config)
    if path is None:
        return dict(config)
    return {**config, "exploit": {**config["exploit"], "own_checkpoint": change(path)}}
