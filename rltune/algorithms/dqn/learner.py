"""DQN's updates."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn_learner import (
    QF_LOSS_KEY,
    QF_MAX_KEY,
    QF_MEAN_KEY,
    QF_MIN_KEY,
    TD_ERROR_MEAN_KEY,
)
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import TD_ERROR_KEY

from rltune.algorithms.dqn.direct import DirectQ
from rltune.algorithms.off_policy import ReplayLearnerMixin


class DQNLearner(ReplayLearnerMixin, DQNTorchLearner):
    """RLlib's DQN loss on batches of a replay buffer."""

    def build(self) -> None:
        """Builds network and optimisers."""
        super().build()
        own = type(self).compute_loss_for_module is DQNTorchLearner.compute_loss_for_module
        self._direct = DirectQ.of(self.net) if own else None
        self._seen: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def gradients(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """See :class:`ArrayLearnerMixin`; without autograd where the network allows it."""
        if self._direct is None or "compute_loss_for_module" in vars(self):  # someone looks on
            return super().gradients(batch)
        self._seen = self._direct.gradients(self.config, batch)
        self.metrics.log_value((DEFAULT_MODULE_ID, TD_ERROR_KEY), self._seen[2])
        return self._seen[0]

    def scalars(self) -> dict[str, Any]:
        """RLlib's numbers of the last update; those of every update take long."""
        if self._seen:
            loss, chosen, errors = self._seen
            numbers = {
                QF_LOSS_KEY: loss,
                QF_MEAN_KEY: chosen.mean(),
                QF_MAX_KEY: chosen.max(),
                QF_MIN_KEY: chosen.min(),
                TD_ERROR_MEAN_KEY: errors.mean(),
            }
            self.metrics.log_dict(numbers, key=DEFAULT_MODULE_ID)
            self._seen = None
        return super().scalars()
