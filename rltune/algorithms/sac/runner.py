"""How SAC explores."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch

from rltune.algorithms.sampling_runner import SamplingRunner
from rltune.engine.codec import UnsupportedSpace


class SACRunner(SamplingRunner):
    """Samples actions."""

    def make_env(self) -> None:
        """The vectorised environment.

        Raises:
            UnsupportedSpace: its actions are no Box, or have no bounds to be stretched to.
        """
        super().make_env()
        space = self.env.single_action_space
        if not isinstance(space, gym.spaces.Box) or not space.is_bounded():
            raise UnsupportedSpace(
                f"sac acts in a Box with finite bounds, and the actions of {self.config.env} are "
                "none: use ppo or dqn, or give them finite bounds"
            )

    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Actions in [-1, 1]."""
        _, _, actions = self.draw(obs)
        return actions.cpu().numpy(), {}
