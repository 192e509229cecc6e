"""SAC's networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.sac.sac_catalog import SACCatalog
from ray.rllib.algorithms.sac.torch.default_sac_torch_rl_module import DefaultSACTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.configs import MLPEncoderConfig
from ray.rllib.core.models.torch.encoder import TorchMLPEncoder

from rltune.algorithms.config_changes import beyond_layers
from rltune.algorithms.image_encoder import ImageEncoderConfig, ImageEncoderMixin
from rltune.engine.normalisation import NormalisationMixin


class ObsActionEncoder(TorchMLPEncoder):
    """Reads observation and action as one vector, as the paper's critics do."""

    def _forward(self, inputs: dict[str, torch.Tensor], **_: Any) -> dict[str, torch.Tensor]:
        joined = torch.cat([inputs[Columns.OBS], inputs[Columns.ACTIONS]], dim=-1)
        out: dict[str, torch.Tensor] = super()._forward({Columns.OBS: joined})
        return out


class ObsActionCatalog(ImageEncoderMixin, SACCatalog):
    """The paper's critics: one plain network on both inputs, images after convolutions.

    RLlib's own encode observation and action each by itself and join them in a third network,
    which is three times the work. Initializers and norms in the model config ask for those.
    """

    def _build_qf_encoder_continuous(self, framework: str) -> Any:
        config = self._encoder_config
        if isinstance(config, ImageEncoderConfig):
            return replace(config, actions=int(np.prod(self.action_space.shape))).build()
        if not isinstance(config, MLPEncoderConfig) or beyond_layers(self._model_config_dict):
            return super()._build_qf_encoder_continuous(framework)
        inputs = config.input_dims[0] + int(np.prod(self.action_space.shape))
        return ObsActionEncoder(
            MLPEncoderConfig(
                input_dims=[inputs],
                hidden_layer_dims=config.hidden_layer_dims,
                hidden_layer_activation=config.hidden_layer_activation,
                output_layer_dim=config.output_layer_dim,
                output_layer_activation=config.output_layer_activation,
            )
        )


class SACModule(NormalisationMixin, DefaultSACTorchRLModule):
    """RLlib's network."""
