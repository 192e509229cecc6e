"""The network for images: convolutions, then the hidden layers of ``fcnet_hiddens``.

RLlib's own, for images of a few sizes alone, has no layer between its convolutions and the heads
by default, and none that takes an action beside the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.base import ENCODER_OUT, Encoder
from ray.rllib.core.models.configs import ModelConfig
from ray.rllib.core.models.torch.base import TorchModel
from ray.rllib.core.models.torch.primitives import TorchMLP
from torch import nn

from rltune.algorithms.config_changes import beyond_layers
from rltune.engine.average_pool import AveragePool

#: Channels, kernel and stride of each convolution (Mnih et al. 2015).
NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
#: The least height and width that they take.
NATURE_FROM = 36
#: For smaller images (Young & Tian 2019, MinAtar).
SMALL = ((16, 3, 1),)
#: Height and width that the convolutions' outcome is brought to: what NATURE makes of 84 x 84.
POOLED = 7


@dataclass
class ImageEncoderConfig(ModelConfig):
    """What to build.

    Attributes:
        input_dims: (height, width, channels).
        hidden_layer_dims: sizes of the layers behind the convolutions.
        hidden_layer_activation: of those layers; the convolutions' is always ReLU.
        actions: numbers in an action that is read beside the image; 0 for none.
    """

    hidden_layer_dims: tuple[int, ...] = (512,)
    hidden_layer_activation: str = "relu"
    actions: int = 0

    @property
    def output_dims(self) -> tuple[int]:
        """Size of the last hidden layer."""
        return (self.hidden_layer_dims[-1],)

    def build(self, framework: str = "torch") -> ImageEncoder:
        """The network, in torch."""
        return ImageEncoder(self)


class ImageEncoder(TorchModel, Encoder):
    """Reads images of shape (N, height, width, channels), any size from 3 x 3."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        TorchModel.__init__(self, config)
        Encoder.__init__(self, config)
        *sides, channels = config.input_dims
        layers: list[nn.Module] = []
        for filters, kernel, stride in NATURE if min(sides) >= NATURE_FROM else SMALL:
            layers += [nn.Conv2d(channels, filters, kernel, stride), nn.ReLU()]
            channels = filters
            sides = [(side - kernel) // stride + 1 for side in sides]
        if max(sides) > POOLED:
            layers.append(AveragePool(POOLED))
            sides = [POOLED, POOLED]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.hidden = TorchMLP(
            input_dim=channels * sides[0] * sides[1] + config.actions,
            hidden_layer_dims=list(config.hidden_layer_dims[:-1]),
            hidden_layer_activation=config.hidden_layer_activation,
            output_dim=config.hidden_layer_dims[-1],
            output_activation=config.hidden_layer_activation,
        )

    def _forward(self, inputs: dict[str, torch.Tensor], **_: Any) -> dict[str, torch.Tensor]:
        seen = self.convolutions(inputs[Columns.OBS].permute(0, 3, 1, 2))
        if self.config.actions:
            seen = torch.cat([seen, inputs[Columns.ACTIONS]], dim=-1)
        return {ENCODER_OUT: self.hidden(seen)}


class ImageEncoderMixin:
    """Mixed into RLlib's catalogs: images are read by :class:`ImageEncoder`.

    ``conv_filters``, initializers and norms in the model config ask for RLlib's own network.
    """

    @classmethod
    def _get_encoder_config(
        cls,
        observation_space: gym.Space[Any],
        model_config_dict: dict[str, Any],
        action_space: gym.Space[Any] | None = None,
    ) -> Any:
        shape = observation_space.shape or ()
        own = model_config_dict["use_lstm"] or beyond_layers(model_config_dict)
        if len(shape) != 3 or own:
            inherited: Any = super()._get_encoder_config(  # type: ignore[misc]
                observation_space, model_config_dict, action_space
            )
            return inherited
        return ImageEncoderConfig(
            input_dims=shape,
            hidden_layer_dims=tuple(model_config_dict["fcnet_hiddens"]),
            hidden_layer_activation=model_config_dict["fcnet_activation"],
        )
