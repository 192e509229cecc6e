"""How DQN explores."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core.columns import Columns

from rltune.algorithms.audit import Reading
from rltune.algorithms.dqn.direct import QNet
from rltune.algorithms.env_runner import ArrayEnvRunner
from rltune.engine.codec import UnsupportedSpace, legal, masked


class DQNRunner(ArrayEnvRunner):
    """Epsilon-greedy on the network's Q values."""

    _direct: QNet | None = None
    _direct_of: Any = None

    def make_env(self) -> None:
        """The vectorised environment.

        Raises:
            UnsupportedSpace: its actions are not Discrete.
        """
        super().make_env()
        space = self.env.single_action_space
        if not isinstance(space, gym.spaces.Discrete):
            raise UnsupportedSpace(
                f"dqn acts in Discrete, and the actions of {self.config.env} are read as "
                f"{type(space).__name__}: use ppo"
            )

    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The best actions, or random ones with probability epsilon."""
        schedule = self.module.epsilon_schedule
        schedule.update(env_steps)
        actions = self._random_actions(obs)
        greedy = self.rng.random(len(obs)) >= float(schedule.get_current_value())
        if greedy.any():
            actions[greedy] = self._q_values(obs).argmax(-1).cpu().numpy()[greedy]
        return actions, {}

    def _q_values(self, obs: torch.Tensor) -> torch.Tensor:
        """Q values (N, actions), those of illegal actions out of reach."""
        if self._direct_of is not self.module:
            self._direct_of, self._direct = self.module, QNet.of(self.module)
        batch = {Columns.OBS: obs}
        if self._direct is None:
            found: torch.Tensor = self.module.legal_q_values(batch)
            return found
        return self.module.allow(batch, self._direct(obs))  # type: ignore[no-any-return]

    def _random_actions(self, obs: torch.Tensor) -> np.ndarray:
        """A legal action for each observation, shape (N,)."""
        count, spaces = int(self.env.single_action_space.n), self.env.single_observation_space
        if not masked(spaces):
            return self.rng.integers(count, size=len(obs))
        allowed = legal(spaces, obs.cpu().numpy())
        drawn: np.ndarray = np.where(allowed, self.rng.random(allowed.shape), -1.0).argmax(-1)
        return drawn

    def readings(self) -> list[Reading]:
        """Epsilon's too, from the schedule that acts."""
        found, schedule = super().readings(), self.module.epsilon_schedule
        if not schedule.use_schedule:
            return found
        (_, first), *_, (until, last) = schedule._schedule.endpoints
        epsilon = {"initial_epsilon": first, "final_epsilon": last, "epsilon_timesteps": until}
        return found + [Reading(name, "schedule", value) for name, value in epsilon.items()]
