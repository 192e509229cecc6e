"""PPO (Schulman et al. 2017) on arrays, with RLlib's network and loss."""

from rltune.algorithms.ppo.algorithm import PPO, PPOConfig
from rltune.algorithms.ppo.learner import PPOLearner
from rltune.algorithms.ppo.module import PPOImageCatalog, PPOModule
from rltune.algorithms.ppo.runner import PPORunner

__all__ = ["PPO", "PPOConfig", "PPOImageCatalog", "PPOLearner", "PPOModule", "PPORunner"]
