"""PPO's config and its algorithm."""

from __future__ import annotations

from typing import Any

from ray._common.deprecation import DEPRECATED_VALUE
from ray.rllib.algorithms import ppo as rllib_ppo

from rltune.algorithms.config import FlatConfigMixin
from rltune.algorithms.ppo.attributes import ATTRIBUTES
from rltune.algorithms.ppo.learner import PPOLearner
from rltune.algorithms.ppo.module import PPOImageCatalog, PPOModule
from rltune.algorithms.ppo.runner import PPORunner
from rltune.algorithms.rl_trainable import RLTrainable


class PPOConfig(FlatConfigMixin, rllib_ppo.PPOConfig):
    """RLlib's PPOConfig; rltune's defaults where RLlib's only serve the stock engine."""

    algorithm = "ppo"
    runner_class = PPORunner
    learner_subclass = PPOLearner
    module_class = PPOModule
    catalog_class = PPOImageCatalog
    config_attributes = ATTRIBUTES
    flat_model_keys = (*FlatConfigMixin.flat_model_keys, "vf_share_layers", "normalize_rewards")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or PPO)
        self.vf_share_layers: Any = None
        #: Divide rewards by the standard deviation of their discounted sum.
        self.normalize_rewards = False
        self.noise_correlation = 0.0

    def validate(self) -> None:
        """Raises ValueError for settings that cannot be."""
        if self.vf_share_layers == DEPRECATED_VALUE:  # in a dict of RLlib's own config
            self.vf_share_layers = None
        super().validate()

    def array_engine_only(self) -> dict[str, Any]:
        """The scale of rewards and the correlation of the noise too."""
        return {
            **super().array_engine_only(),
            "normalize_rewards": self.normalize_rewards,
            "noise_correlation": self.noise_correlation,
        }


class PPO(RLTrainable, rllib_ppo.PPO):
    """Drop-in for ``ray.rllib.algorithms.ppo.PPO``."""

    name = "ppo"
    config_class = PPOConfig

    def array_step(self) -> None:
        """One batch of ``train_batch_size`` steps, then the updates on it."""
        rollouts = self.collect(self.steps_per_env(self.config.train_batch_size))
        self.learner.update_from_rollouts(rollouts)
        # Not before: the actions were chosen by the filter as it was.
        self.learner.update_filter(rollouts)
        self.end_updates()
