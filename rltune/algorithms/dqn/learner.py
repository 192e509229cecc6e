"""DQN's updates."""

from __future__ import annotations

from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner

from rltune.algorithms.off_policy import ReplayLearnerMixin


class DQNLearner(ReplayLearnerMixin, DQNTorchLearner):
    """RLlib's DQN loss on batches of a replay buffer."""
