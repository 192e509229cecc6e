"""What DQN and SAC share: a replay buffer, updates from it, target networks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.utils.metrics import NUM_TARGET_UPDATES, TD_ERROR_KEY

from rltune.algorithms.audit import Reading
from rltune.algorithms.config import FlatConfigMixin
from rltune.algorithms.learner import ArrayLearnerMixin
from rltune.algorithms.rl_trainable import RLTrainable
from rltune.engine.normalisation import to_device
from rltune.engine.replay_buffer import Layout, Priorities, ReplayBuffer
from rltune.errors import BadCheckpoint
from rltune.runs.checkpoints import REPLAY_FILE, holds, verify

log = logging.getLogger("rltune")

RLLIB_NAMES = {"next_obs": Columns.NEXT_OBS, "terminated": Columns.TERMINATEDS}

#: Bytes of observations drawn from a buffer at a time, where later draws do not depend on updates.
DRAW_BYTES = 4 << 20


class ReplayLearnerMixin(ArrayLearnerMixin):
    """Updates on batches of a replay buffer."""

    last_update_ts_by_mid: dict[str, int]

    def build(self) -> None:
        """Pairs each weight with its copy in the target network."""
        super().build()
        pairs = [
            (main, target)
            for main_net, target_net in self.net.get_target_network_pairs()
            for main, target in zip(main_net.parameters(), target_net.parameters(), strict=True)
        ]
        self._main = [main.data for main, _ in pairs]
        self._target = [target.data for _, target in pairs]
        self._target_updates = 0

    def set_clock(self, env_steps: int) -> None:
        """The target network's interval counts from here."""
        super().set_clock(env_steps)
        self.last_update_ts_by_mid[DEFAULT_MODULE_ID] = env_steps

    def update_from_replay(self, replay: ReplayBuffer, updates: int, env_steps: int) -> None:
        """``updates`` gradient steps, each on ``train_batch_size`` transitions.

        Args:
            env_steps: environment steps of the trial so far, for the target network's interval.

        Raises:
            Divergence: an update met what is not finite, and was not applied.
        """
        if not self.net.training:
            self.net.train()
        for batch in self._batches(replay, updates):
            slots = batch.pop("slots").numpy()
            self.gradient_step(batch)
            self._update_target(env_steps)
            if replay.priorities:
                # The next draw depends on these: here alone an update waits for the device.
                errors = self.metrics.peek((DEFAULT_MODULE_ID, TD_ERROR_KEY))
                replay.update_priorities(slots, errors.detach().cpu().numpy())
        self.watch.check()

    def _batches(self, replay: ReplayBuffer, updates: int) -> Iterator[dict[str, torch.Tensor]]:
        config, size = self.config, self.config.train_batch_size
        at_once = 1 if replay.priorities else max(1, DRAW_BYTES // (size * replay.row_bytes))
        for start in range(0, updates, at_once):
            count = min(at_once, updates - start)
            drawn = replay.sample(size * count, config.n_step, config.gamma, config.clip_rewards)
            tensors = {"slots": torch.from_numpy(drawn.pop("slots"))}
            for name, column in drawn.items():
                tensors[RLLIB_NAMES.get(name, name)] = to_device(column, self.device)
            for i in range(count):
                yield {name: c[i * size : (i + 1) * size] for name, c in tensors.items()}

    @torch.no_grad()
    def _update_target(self, env_steps: int) -> None:
        due = env_steps - self.last_update_ts_by_mid[DEFAULT_MODULE_ID]
        if due < self.config.target_network_update_freq:
            return
        torch._foreach_lerp_(self._target, self._main, self.config.tau)
        self.last_update_ts_by_mid[DEFAULT_MODULE_ID] = env_steps
        self._target_updates += 1
        self.metrics.log_value((DEFAULT_MODULE_ID, NUM_TARGET_UPDATES), self._target_updates)

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """The schedules alone: target networks follow after each update."""
        Learner.after_gradient_based_update(self, timesteps=timesteps)


class ReplayConfigMixin(FlatConfigMixin):
    """Mixed into RLlib's configs: the replay buffer as flat settings that can be searched.

    ``buffer_capacity`` and ``prioritized_replay`` with its ``_alpha`` and ``_beta`` make RLlib's
    ``replay_buffer_config``; RLlib's own form works too.
    """

    replay_buffer_config: dict[str, Any]

    def __init__(self, algo_class: type) -> None:
        super().__init__(algo_class)
        self.buffer_capacity: int | None = None
        self.prioritized_replay: bool | None = None
        self.prioritized_replay_alpha: float | None = None
        self.prioritized_replay_beta: float | None = None
        #: Whether checkpoints hold the replay buffer.
        self.save_buffer = True
        #: What a clone trains on: its "own" buffer, its "donor"'s, or an "empty" one.
        self.exploit_buffer = "own"

    def validate(self) -> None:
        """Raises ValueError for settings that cannot be."""
        asked: dict[str, Any] = {
            "capacity": self.buffer_capacity,
            "alpha": self.prioritized_replay_alpha,
            "beta": self.prioritized_replay_beta,
        }
        if self.prioritized_replay is not None:
            asked["type"] = "PrioritizedEpisodeReplayBuffer"
            if not self.prioritized_replay:
                asked["type"] = "EpisodeReplayBuffer"
        found = {key: value for key, value in asked.items() if value is not None}
        self.replay_buffer_config = {**self.replay_buffer_config, **found}
        super().validate()

    def find_fallback_reasons(self) -> list[str]:
        """RLlib's further buffers and their settings, and an n_step drawn at random."""
        kind = self.replay_buffer_config["type"]
        further = {*self.replay_buffer_config} - {"type", "capacity", "alpha", "beta"}
        return super().find_fallback_reasons() + [
            reason
            for reason, applies in {
                f"n_step={self.n_step!r}": not isinstance(self.n_step, int),  # type: ignore[attr-defined]
                f"replay buffer {kind!r}": kind
                not in ("EpisodeReplayBuffer", "PrioritizedEpisodeReplayBuffer"),
                f"replay_buffer_config {', '.join(sorted(further))}": further,
            }.items()
            if applies
        ]

    @property
    def priorities(self) -> Priorities | None:
        """How sampling is prioritised; None where it is even."""
        config = self.replay_buffer_config
        if config["type"] != "PrioritizedEpisodeReplayBuffer":
            return None
        return Priorities(config.get("alpha", 0.6), config.get("beta", 0.4))


class OffPolicyMixin(RLTrainable):
    """Mixed into RLlib's off-policy algorithms.

    Attributes:
        replay: the trial's buffer.
    """

    replay: ReplayBuffer

    def setup(self, config: Any) -> None:
        """Builds the trial, with an empty replay buffer.

        Raises:
            MemoryError: the buffer will not fit; the message names its size.
        """
        super().setup(config)
        if not self.on_arrays:
            return
        net, config = self.learner.net, self.config
        layout = Layout(
            net.observation_space,
            net.action_space,
            config.replay_buffer_config["capacity"],
            config.num_envs_per_env_runner * max(1, config.num_env_runners),
            config.frame_stack,
        )
        log.info("replay buffer: %.1f MB", layout.nbytes / 1e6)
        self.replay = ReplayBuffer(layout, config.priorities, config.seed)
        self._updates_owed = 0.0

    def _create_local_replay_buffer_if_necessary(self, config: Any) -> Any:
        """RLlib's own buffer, where RLlib's own engine runs."""
        if config.fallback_reasons:
            return super()._create_local_replay_buffer_if_necessary(config)  # type: ignore[misc]
        return None

    def array_step(self) -> None:
        """``rollout_fragment_length`` steps of each environment, then the updates they are due."""
        config = self.config
        rollouts = self.collect(config.get_rollout_fragment_length())
        self.replay.add(rollouts)
        self.learner.update_filter(rollouts)
        if self.warm_up_left:
            return
        batch_size = config.train_batch_size
        sampled = sum(rollout.env_steps for rollout in rollouts)
        intensity = config.training_intensity or batch_size / sampled
        self._updates_owed += intensity * sampled / batch_size
        updates, self._updates_owed = divmod(self._updates_owed, 1.0)
        if updates:
            self.learner.update_from_replay(self.replay, int(updates), self.env_steps)
            self.end_updates()

    @property
    def warm_up_left(self) -> int:
        """Transitions that the buffer lacks until updates begin.

        Counted in the buffer, not in steps taken: after a restore without it, it fills first.
        """
        config = self.config
        wanted: int = max(config.num_steps_sampled_before_learning_starts, config.train_batch_size)
        # Where environments end often a full buffer holds fewer transitions than its capacity.
        return max(0, min(wanted, self.replay.layout.capacity // 2) - len(self.replay))

    def readings(self) -> list[Reading]:
        """The buffer's too, read from the buffer."""
        found = super().readings()
        if not self.on_arrays:
            return found
        layout, priorities = self.replay.layout, self.replay.priorities
        acting: dict[str, Any] = {
            "buffer_capacity": layout.capacity,
            "frame_stack": layout.frame_stack,
            "prioritized_replay": priorities is not None,
        }
        if priorities:
            acting["prioritized_replay_alpha"] = priorities.alpha
            acting["prioritized_replay_beta"] = priorities.beta
        found += [Reading(name, "replay buffer", value) for name, value in acting.items()]
        fragment = self.config.get_rollout_fragment_length()
        return [*found, Reading("rollout_fragment_length", "sampler", fragment)]

    def save_files(self, folder: Path) -> None:
        """The replay buffer too, where ``save_buffer`` asks for it."""
        super().save_files(folder)
        if self.on_arrays and self.config.save_buffer:
            self.replay.save(folder / REPLAY_FILE)

    def deferred_files(self) -> tuple[str, ...]:
        """The buffer is checked where it is loaded: it can be gigabytes."""
        return (REPLAY_FILE,)

    def restore_memory(self, folder: Path, donor: str | None) -> dict[str, Any]:
        """Gives the trial the buffer it continues with.

        After an exploit ``exploit_buffer`` says which one that is. A buffer of its own that is
        gone, damaged, or of another layout than its donor's settings ask for leaves a clone with
        an empty one, and ``why`` says so. The trial warms up where the buffer lacks transitions.
        """
        if not self.on_arrays:
            return {}
        kind = self.config.exploit_buffer if donor else "own"
        why = None
        if kind == "own" and donor:
            why = self._recall(self.exploit.own_checkpoint if self.exploit else None)
        elif kind != "empty":
            why = self._load_replay(folder)
        if why:
            log.warning("%s starts with an empty replay buffer: %s", self.trial_id, why)
        memory = {**self.memory(), "replay": "empty" if why else kind}
        return {**memory, "why": why} if why else memory

    def _recall(self, own: str | None) -> str | None:
        """Loads the clone's own buffer. Returns why it could not."""
        if own is None:
            return "it has no checkpoint of its own"
        try:
            return self._load_replay(Path(own))
        except (BadCheckpoint, ValueError) as error:
            return str(error)

    def _load_replay(self, folder: Path) -> str | None:
        """Loads a checkpoint's buffer. Returns why there is none."""
        if not holds(folder, REPLAY_FILE):
            return f"{folder} holds none (save_buffer)"
        verify(folder, self.name, only=(REPLAY_FILE,))
        self.replay.load(folder / REPLAY_FILE)
        return None

    def memory(self) -> dict[str, Any]:
        """What the trial remembers: transitions held, and those lacking until updates begin."""
        return {"transitions": len(self.replay), "warm_up_left": self.warm_up_left}
