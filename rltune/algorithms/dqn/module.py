"""DQN's network."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.default_dqn_rl_module import (
    ATOMS,
    QF_NEXT_PREDS,
    QF_PREDS,
    QF_PROBS,
    QF_TARGET_NEXT_PREDS,
    QF_TARGET_NEXT_PROBS,
)
from ray.rllib.algorithms.dqn.dqn_catalog import DQNCatalog
from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule
from ray.rllib.core.columns import Columns

from rltune.algorithms.image_encoder import ImageEncoderMixin
from rltune.engine.noisy_linear import make_noisy
from rltune.engine.normalisation import NormalisationMixin


class DQNImageCatalog(ImageEncoderMixin, DQNCatalog):
    """RLlib's networks; images are read by rltune's encoder."""


class DQNModule(NormalisationMixin, DefaultDQNTorchRLModule):
    """RLlib's network; with ``noisy`` the heads' layers are noisy ones, which RLlib leaves out."""

    def setup(self) -> None:
        """Builds encoder and heads."""
        super().setup()
        if self.model_config.get("noisy"):
            make_noisy(self.af, self.model_config["std_init"])
            if self.uses_dueling:
                make_noisy(self.vf, self.model_config["std_init"])

    def legal_q_values(self, batch: dict[str, Any]) -> torch.Tensor:
        """Q values of shape (N, actions), those of illegal actions out of reach."""
        values: torch.Tensor = self.compute_q_values(batch)[QF_PREDS]
        return self.allow(batch, values)

    def _forward_inference(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {Columns.ACTIONS: self.legal_q_values(batch).argmax(-1)}

    def _forward_train(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """RLlib's outputs. Nothing of the next observations is tracked: they have no gradient.

        The best next action is one that the next observation's mask allows.
        """
        following = {Columns.OBS: batch[Columns.NEXT_OBS]}
        out: dict[str, torch.Tensor] = self.compute_q_values({Columns.OBS: batch[Columns.OBS]})
        with torch.no_grad():
            if self.uses_double_q:
                out[QF_NEXT_PREDS] = self.legal_q_values(following)
            target = self.forward_target(following)
        out[QF_TARGET_NEXT_PREDS] = self.allow(following, target[QF_PREDS])
        if self.num_atoms > 1:
            out[ATOMS] = target[ATOMS]
            out[QF_TARGET_NEXT_PROBS] = target[QF_PROBS]
        return out
