"""PPO's network."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchCategorical
from ray.rllib.core.models.base import ENCODER_OUT

from rltune.algorithms.image_encoder import ImageEncoderMixin
from rltune.algorithms.ppo.categorical import LeanCategorical
from rltune.engine.normalisation import NormalisationMixin, RewardScale


class PPOImageCatalog(ImageEncoderMixin, PPOCatalog):
    """RLlib's networks; images are read by rltune's encoder."""


class PPOModule(NormalisationMixin, DefaultPPOTorchRLModule):
    """RLlib's network; to explore, the critic's part of it is left out.

    What an action mask forbids has probability 0 in all of them, in the losses too.
    """

    def setup(self) -> None:
        """Builds encoder and heads, and what ``normalize_rewards`` asks for."""
        super().setup()
        scales = self.model_config.get("normalize_rewards", False)
        self.reward_scale = RewardScale() if scales else None
        self.action_dist_cls: Any
        if self.action_dist_cls is TorchCategorical:
            self.action_dist_cls = LeanCategorical

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._allowed(batch, super()._forward(batch, **kwargs))

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._allowed(batch, super()._forward_train(batch, **kwargs))

    @torch.no_grad()
    def _forward_exploration(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        encoder = getattr(self.encoder, "actor_encoder", None)
        if encoder is None:
            return self._forward(batch)
        logits = self.pi(encoder(batch)[ENCODER_OUT])
        return self._allowed(batch, {Columns.ACTION_DIST_INPUTS: logits})

    def _allowed(self, batch: dict[str, Any], out: dict[str, Any]) -> dict[str, Any]:
        out[Columns.ACTION_DIST_INPUTS] = self.allow(batch, out[Columns.ACTION_DIST_INPUTS])
        return out
