"""DQN (Mnih et al. 2015) on arrays, with RLlib's network and loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms import dqn as rllib_dqn
from ray.rllib.algorithms.dqn.default_dqn_rl_module import QF_PREDS
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from rltune.algorithms.learner import ArrayLearner
from rltune.algorithms.member import FlatConfig, Member
from rltune.algorithms.replay import ReplayBuffer
from rltune.algorithms.runner import ArrayEnvRunner


class DQNRunner(ArrayEnvRunner):
    """Epsilon-greedy on the network's Q values."""

    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The best actions, or random ones with probability epsilon."""
        schedule = self.module.epsilon_schedule
        schedule.update(env_steps)
        actions = self.rng.integers(self.env.single_action_space.n, size=len(obs))
        greedy = self.rng.random(len(obs)) >= float(schedule.get_current_value())
        if greedy.any():
            q_values = self.module.compute_q_values({Columns.OBS: obs})[QF_PREDS]
            actions[greedy] = q_values.argmax(-1).cpu().numpy()[greedy]
        return actions, {}


class DQNLearner(ArrayLearner, DQNTorchLearner):
    """RLlib's DQN loss on batches of a replay buffer."""

    def set_clock(self, env_steps: int) -> None:
        """The target network's interval counts from here."""
        super().set_clock(env_steps)
        self.last_update_ts_by_mid[DEFAULT_MODULE_ID] = env_steps

    def update_from_replay(self, replay: ReplayBuffer, updates: int) -> None:
        """``updates`` gradient steps, each on ``train_batch_size`` transitions."""
        size = self.config.train_batch_size
        ones = torch.ones(size, device=self.device)
        for _update in range(updates):
            rows = {name: column.to(self.device) for name, column in replay.sample(size).items()}
            self.gradient_step(
                {
                    Columns.OBS: rows["obs"],
                    Columns.NEXT_OBS: rows["next_obs"],
                    Columns.ACTIONS: rows["actions"],
                    Columns.REWARDS: rows["rewards"],
                    Columns.TERMINATEDS: rows["terminated"],
                    "weights": ones,
                    "n_step": ones,
                }
            )


class DQNConfig(FlatConfig, rllib_dqn.DQNConfig):
    """RLlib's DQNConfig, with epsilon and buffer as flat settings that can be searched.

    ``initial_epsilon``, ``final_epsilon`` and ``epsilon_timesteps`` make RLlib's ``epsilon``
    schedule, ``buffer_capacity`` its ``replay_buffer_config["capacity"]``; RLlib's own forms work
    too.
    """

    replay_buffer_config: dict[str, Any]
    runner_class = DQNRunner
    learner_subclass = DQNLearner

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or DQN)
        self.buffer_capacity: int | None = None
        self.initial_epsilon = 1.0
        self.final_epsilon: float | None = None
        self.epsilon_timesteps = 10_000
        self.rollout_fragment_length = 4
        self.training_intensity = 8.0

    def validate(self) -> None:
        """Raises ValueError for what the array engine does not do."""
        if self.final_epsilon is not None:
            self.epsilon = [[0, self.initial_epsilon], [self.epsilon_timesteps, self.final_epsilon]]
        if self.buffer_capacity is not None:
            self.replay_buffer_config = {
                **self.replay_buffer_config,
                "capacity": self.buffer_capacity,
            }
        super().validate()
        if self.n_step != 1 or self.num_atoms != 1 or self.noisy:
            raise ValueError("rltune's DQN runs n_step=1, num_atoms=1, noisy=False")


class DQN(Member, rllib_dqn.DQN):
    """Drop-in for ``ray.rllib.algorithms.dqn.DQN``."""

    name = "dqn"
    config_class = DQNConfig
    REPLAY_FILE = "replay.npz"

    def setup(self, config: Any) -> None:
        """Builds the trial, with an empty replay buffer."""
        super().setup(config)
        self.replay = ReplayBuffer(self.config.replay_buffer_config["capacity"], self.config.seed)
        self._updates_owed = 0.0

    def _create_local_replay_buffer_if_necessary(self, config: Any) -> None:
        """RLlib's own buffer is not used."""

    def training_step(self) -> None:
        """``rollout_fragment_length`` steps of each environment, then the updates they are due."""
        sampled = 0
        for rollout in self.collect(self.config.rollout_fragment_length):
            self.replay.add(rollout)
            sampled += rollout.env_steps
        batch_size = self.config.train_batch_size
        warm_up = max(self.config.num_steps_sampled_before_learning_starts, batch_size)
        # Counted in the buffer, not in steps taken: after a restore without it, it fills first.
        if len(self.replay) < min(warm_up, self.replay.capacity):
            return
        self._updates_owed += self.config.training_intensity * sampled / batch_size
        updates, self._updates_owed = divmod(self._updates_owed, 1.0)
        if updates:
            self.learner.update_from_replay(self.replay, int(updates))
            self.end_updates()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """RLlib's checkpoint, and the replay buffer beside it."""
        super().save_checkpoint(checkpoint_dir)
        self.replay.save(Path(checkpoint_dir) / self.REPLAY_FILE)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Loads both; without a saved buffer the trial warms up again."""
        super().load_checkpoint(checkpoint_dir)
        saved = Path(checkpoint_dir) / self.REPLAY_FILE
        if saved.is_file():
            self.replay.load(saved)
