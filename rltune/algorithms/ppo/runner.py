"""How PPO explores."""

from __future__ import annotations

import numpy as np
import torch
from ray.rllib.core.columns import Columns

from rltune.algorithms.sampling_runner import SamplingRunner


class PPORunner(SamplingRunner):
    """Samples actions, and keeps what they were drawn from."""

    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Actions, with their log-probabilities and the distribution's inputs."""
        inputs, distribution, actions = self.draw(obs)
        return actions.cpu().numpy(), {
            Columns.ACTION_LOGP: distribution.logp(actions).cpu().numpy(),
            Columns.ACTION_DIST_INPUTS: inputs.cpu().numpy(),
        }
