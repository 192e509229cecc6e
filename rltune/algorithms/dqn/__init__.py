"""DQN (Mnih et al. 2015), up to Rainbow (Hessel et al. 2018), with RLlib's loss."""

from rltune.algorithms.dqn.algorithm import DQN, DQNConfig
from rltune.algorithms.dqn.learner import DQNLearner
from rltune.algorithms.dqn.module import DQNImageCatalog, DQNModule
from rltune.algorithms.dqn.runner import DQNRunner

__all__ = ["DQN", "DQNConfig", "DQNImageCatalog", "DQNLearner", "DQNModule", "DQNRunner"]
