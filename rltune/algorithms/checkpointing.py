"""Saves and restores a trial: checkpoints, exploits, and the audit after both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ray.rllib.utils.debug import update_global_seed_if_necessary
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from ray.rllib.utils.metrics.stats import LifetimeSumStats

from rltune.algorithms import tensors
from rltune.algorithms.audit import Reading, mismatches, requested_settings
from rltune.algorithms.fallback import fallback_readings
from rltune.algorithms.learner import set_learning_rates
from rltune.algorithms.trial_storage import TrialStorageMixin
from rltune.engine.episodes import Window
from rltune.engine.torch_compiler import without_compiler
from rltune.errors import AuditError
from rltune.processes.tracebacks import headlined
from rltune.runs.checkpoints import (
    LEARNER_FILE,
    POLICY_FILE,
    check_pickles,
    is_data,
    seal,
    verify,
)
from rltune.runs.records import CheckpointRecord, Diverged, Exploit, TrialRecord
from rltune.spec import moved_seed


class CheckpointMixin(TrialStorageMixin):
    """Mixed into every member: writes its checkpoints, continues from them, reads itself back.

    Attributes:
        restored: what the next report says of a restore since the last one; else None.
    """

    name: ClassVar[str]
    config: Any
    metrics: MetricsLogger
    learner_group: Any
    env_runner_group: Any
    trial_id: str
    env_steps: int
    _iteration: int
    diverged: dict[str, Any] | None
    restored: dict[str, Any] | None
    window: Window
    #: The settings of the config that the trial was made from, before RLlib changes any.
    _requested: dict[str, Any]

    @property
    def on_arrays(self) -> bool:
        """Whether rltune's engine runs this trial; else RLlib's does."""
        return not self.config.fallback_reasons

    @property
    def learner(self) -> Any:
        """The learner, which lives in this process."""
        return self.learner_group._learner

    @property
    def exploit(self) -> Exploit | None:
        """What made this trial a clone; None where it has never been one."""
        return Exploit.from_dict(self.config.exploit) if self.config.exploit else None

    @headlined
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Tensors, arrays and JSON, then a manifest; of RLlib's own engine its pickles, signed."""
        if not self.on_arrays:
            super().save_checkpoint(checkpoint_dir)  # type: ignore[misc]
        self.save_files(Path(checkpoint_dir))
        seal(checkpoint_dir, self.name, signed=not self.on_arrays)

    def save_files(self, folder: Path) -> None:
        """What a checkpoint holds beside RLlib's own files."""
        diverged = Diverged.from_dict(self.diverged) if self.diverged else None
        record = TrialRecord(
            trial_id=self.trial_id,
            env_steps=self.env_steps,
            seconds=self._time_total,
            diverged=diverged,
        )
        if self.on_arrays:
            tensors.write(folder / POLICY_FILE, self.learner.net.state_dict())
            tensors.write(folder / LEARNER_FILE, self.learner.tensors())
            record = CheckpointRecord(
                **vars(record),
                training_iteration=self._iteration,
                lifetime=_lifetime_sums(self.metrics),
                window=self.window.size,
                episode_returns=self.window.returns,
                episode_lengths=[episode.length for episode in self.window.episodes],
                episode_infos=[episode.info for episode in self.window.episodes],
                settings=self.effective_settings(),
            )
        record.write(folder)

    @headlined
    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Goes on from a checkpoint, this trial's or a donor's, with this trial's settings.

        Raises:
            BadCheckpoint: it is not whole, another algorithm's, or holds pickles that this user did
                not write; nothing was loaded.
            AuditError: a setting does not act as asked for.
        """
        folder = Path(checkpoint_dir)
        verify(folder, self.name, skip=self.deferred_files())
        own_iteration = self._iteration
        record = (CheckpointRecord if self.on_arrays else TrialRecord).read(folder)
        if self.on_arrays and is_data(folder):
            assert isinstance(record, CheckpointRecord)
            self.learner.load_tensors(folder / POLICY_FILE, folder / LEARNER_FILE)
            self._iteration = record.training_iteration
            self.metrics.set_state(_as_state(record.lifetime))
        else:
            check_pickles(folder)
            super().load_checkpoint(checkpoint_dir)  # type: ignore[misc]
        exploit = self.exploit
        donor = exploit.donor if exploit and record.trial_id != self.trial_id else None
        if donor:
            self._iteration = own_iteration  # RLlib puts the donor's in its place
        self.env_steps = exploit.env_steps if exploit and donor else record.env_steps
        self.seconds_from(record, exploit if donor else None)
        self.diverged = record.diverged.to_dict() if record.diverged else None
        if isinstance(record, CheckpointRecord):
            self.window.load(record.episodes)
            self.learner.set_clock(self.env_steps)
        else:
            self.learner_group.foreach_learner(set_learning_rates, env_steps=self.env_steps)
        memory = self.restore_memory(folder, donor)
        if self.on_arrays and self.config.seed is not None:
            self._reseed(moved_seed(self.config.seed, self.env_steps))
        self.restored = {
            "kind": "exploit" if donor else "restore",
            "env_steps": self.env_steps,
            "donor": donor,
            **self._audit(f"the exploit of {donor}" if donor else "a restore"),
            "memory": memory,
        }

    def deferred_files(self) -> tuple[str, ...]:
        """Files of a checkpoint that may be damaged, or are checked when they are loaded."""
        return ()

    def restore_memory(self, folder: Path, donor: str | None) -> dict[str, Any]:
        """What the trial remembers beside its weights. Returns what the report says of it.

        Args:
            folder: the checkpoint the trial is restored from.
            donor: the trial it is of, at an exploit; else None.
        """
        return {}

    @without_compiler()
    def _reseed(self, seed: int) -> None:
        """Else a clone would repeat its own first draws and episodes, a resumed trial its past."""
        update_global_seed_if_necessary("torch", seed)
        self.env_runner_group.foreach_env_runner(lambda runner: runner.reseed(seed))

    def readings(self) -> list[Reading]:
        """Every setting where it acts; one that acts in several places is read in each."""
        configs = {"trial's config": self.config}
        if self.on_arrays:
            configs["loss"] = self.learner.config
        found = [
            Reading(name, place, value)
            for place, config in configs.items()
            for name, value in requested_settings(self.name, config).items()
        ]
        if not self.on_arrays:
            return found + fallback_readings(self.learner, self.config)
        remote = self.env_runner_group.num_remote_env_runners()
        runners = self.env_runner_group.foreach_env_runner(
            lambda runner: runner.readings(), local_env_runner=not remote
        )
        window, model = self.window.size, self.learner.net.model_config
        flat = self.config.flat_model_keys
        return [
            *found,
            Reading("num_env_runners", "runner group", remote),
            Reading("metrics_num_episodes_for_smoothing", "window", window),
            *(Reading(key, "network", model[key]) for key in flat if key in model),
            *(reading for readings in runners for reading in readings),
            *self.learner.readings(),
        ]

    def effective_settings(self) -> dict[str, Any]:
        """Every setting, read from the object it acts in and not from what was asked."""
        return {reading.name: reading.value for reading in self.readings()}

    def requested(self) -> dict[str, Any]:
        """Every setting as it was asked for."""
        return requested_settings(self.name, self.config) | self._requested

    def _audit(self, event: str) -> dict[str, Any]:
        """Settings requested and effective. Raises AuditError where they differ."""
        asked, readings = self.requested(), self.readings()
        if wrong := mismatches(self.name, asked, readings, self.env_steps):
            raise AuditError(
                f"{self.trial_id}: {'; '.join(wrong)} (after {event} at env step {self.env_steps})"
            )
        return {"requested": asked, "effective": {r.name: r.value for r in readings}}


def _lifetime_sums(metrics: MetricsLogger) -> dict[str, float]:
    """What a trial's metrics have added up since it began, by RLlib's flat key."""
    return {
        key: float(state["lifetime_sum"])
        for key, state in metrics.get_state()["stats"].items()
        if state["stats_cls_identifier"] == LifetimeSumStats.stats_cls_identifier
    }


def _as_state(lifetime: Mapping[str, float]) -> dict[str, Any]:
    """The state of a MetricsLogger that knows these sums and nothing else."""
    stats = LifetimeSumStats(is_root=True).get_state()
    return {
        "stats": {key: {**stats, "lifetime_sum": float(value)} for key, value in lifetime.items()}
    }
