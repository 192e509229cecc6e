"""The runner of policies that are distributions over actions, PPO's and SAC's."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import torch
from ray.rllib.core.columns import Columns

from rltune.algorithms.audit import Reading
from rltune.algorithms.env_runner import ArrayEnvRunner
from rltune.engine.divergence import Divergence
from rltune.engine.exploration_noise import CorrelatedNoise


class SamplingRunner(ArrayEnvRunner):
    """Samples actions from the policy's distribution.

    With a ``noise_correlation`` the noise of continuous actions is drawn from a
    :class:`rltune.engine.exploration_noise.CorrelatedNoise`; each action by itself is distributed
    as the policy has it.
    """

    _noise: CorrelatedNoise | None

    def make_env(self) -> None:
        """The vectorised environment.

        Raises:
            ValueError: its actions have no noise that could be correlated.
        """
        super().make_env()
        space = self.env.single_action_space
        if self.config.noise_correlation and not isinstance(space, gym.spaces.Box):
            raise ValueError(
                f"noise_correlation is of continuous actions, and those of {self.config.env} are "
                f"{type(space).__name__}: leave it out"
            )

    def _reset_env(self, seed: int | None = None) -> None:
        super()._reset_env(seed)
        self._noise = None

    def draw(self, obs: torch.Tensor) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """What the policy says to observations of shape (N, ...).

        Returns:
            The inputs of the distribution, the distribution (RLlib's) and a sample of it.

        Raises:
            Divergence: the inputs are not finite, and the distribution refuses them.
        """
        inputs = self.module._forward_exploration({Columns.OBS: obs})[Columns.ACTION_DIST_INPUTS]
        try:
            distribution = self.module.get_exploration_action_dist_cls().from_logits(inputs)
            if not self.config.noise_correlation:
                return inputs, distribution, distribution.sample()
        except (RuntimeError, ValueError) as error:
            if inputs.isfinite().all():
                raise
            raise Divergence("action", math.nan) from error
        actions = distribution.loc + distribution._dist.scale * self._next_noise(distribution.loc)
        squash = getattr(distribution, "_squash", None)
        return inputs, distribution, actions if squash is None else squash(actions)

    def _next_noise(self, like: torch.Tensor) -> torch.Tensor:
        if self._noise is None:
            self._noise = CorrelatedNoise(self.config.noise_correlation)
        return self._noise.sample(like)

    def readings(self) -> list[Reading]:
        """The correlation of the noise too."""
        noise = Reading("noise_correlation", "sampler", self.config.noise_correlation)
        return [*super().readings(), noise]
