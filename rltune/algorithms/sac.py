"""SAC (Haarnoja et al. 2018) on arrays, with RLlib's loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms import sac as rllib_sac
from ray.rllib.algorithms.sac.sac_catalog import SACCatalog
from ray.rllib.algorithms.sac.sac_learner import (
    QF_LOSS_KEY,
    QF_PREDS,
    QF_TWIN_LOSS_KEY,
    QF_TWIN_PREDS,
)
from ray.rllib.algorithms.sac.torch.default_sac_torch_rl_module import DefaultSACTorchRLModule
from ray.rllib.algorithms.sac.torch.sac_torch_learner import SACTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.configs import MLPEncoderConfig
from ray.rllib.core.models.torch.encoder import TorchMLPEncoder

from rltune.algorithms.audit import Reading
from rltune.algorithms.config_changes import beyond_layers
from rltune.algorithms.image_encoder import ImageEncoderConfig, ImageEncoderMixin
from rltune.algorithms.off_policy import OffPolicyMixin, ReplayConfigMixin, ReplayLearnerMixin
from rltune.algorithms.sampling_runner import SamplingRunner
from rltune.engine.codec import UnsupportedSpace
from rltune.engine.normalisation import NormalisationMixin

#: RLlib's names of the critics' outputs, by those of their losses.
CRITICS = {QF_LOSS_KEY: QF_PREDS, QF_TWIN_LOSS_KEY: QF_TWIN_PREDS}


class ObsActionEncoder(TorchMLPEncoder):
    """Reads observation and action as one vector, as the paper's critics do."""

    def _forward(self, inputs: dict[str, torch.Tensor], **_: Any) -> dict[str, torch.Tensor]:
        joined = torch.cat([inputs[Columns.OBS], inputs[Columns.ACTIONS]], dim=-1)
        out: dict[str, torch.Tensor] = super()._forward({Columns.OBS: joined})
        return out


class ObsActionCatalog(ImageEncoderMixin, SACCatalog):
    """The paper's critics: one plain network on both inputs, pictures after convolutions.

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


class SACRunner(SamplingRunner):
    """Samples actions."""

    def make_env(self) -> None:
        """The vectorised environment.

        Raises:
            UnsupportedSpace: its actions are no Box, or have no bounds to be stretched to.
        """
        super().make_env()
        space = self.env.single_action_space
        if not isinstance(space, gym.spaces.Box) or not space.is_bounded():
            raise UnsupportedSpace(
                f"sac acts in a Box with finite bounds, and the actions of {self.config.env} are "
                "none: use ppo or dqn, or give them finite bounds"
            )

    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Actions in [-1, 1]."""
        _, _, actions = self.draw(obs)
        return actions.cpu().numpy(), {}


class SACLearner(ReplayLearnerMixin, SACTorchLearner):
    """RLlib's SAC losses on batches of a replay buffer.

    RLlib walks back through the graph once for each of its four losses. No weight gets a gradient
    from two of them, so that one walk through their sum gives the same gradients.
    """

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> torch.Tensor:
        """The sum of the losses of actor, critics and temperature.

        RLlib's critics have the Huber loss, whose gradient is the same for every TD error beyond 1.
        The paper's is the squared error: ``td_error_loss_fn`` has both.
        """
        loss: torch.Tensor = super().compute_loss_for_module(
            module_id=module_id, config=config, batch=batch, fwd_out=fwd_out
        )
        parts = {name: part for (_, name), part in self._temp_losses.items()}
        self._temp_losses.clear()
        if config.td_error_loss_fn == "huber":
            return loss
        targets = self._targets(batch, fwd_out)
        for name, critic in CRITICS.items():
            if name in parts:
                squares = (fwd_out[critic] - targets).square() / 2
                parts[name] = torch.mean(batch["weights"] * squares)
                self.metrics.log_value((module_id, name), parts[name])
        return torch.stack(list(parts.values())).sum()

    def _targets(self, batch: dict[str, Any], fwd_out: dict[str, Any]) -> torch.Tensor:
        """What both critics are drawn to (equation 6 of Haarnoja et al. 2018b), shape (N,)."""
        temperature = self.curr_log_alpha[DEFAULT_MODULE_ID].exp()
        values = fwd_out["q_target_next"] - temperature * fwd_out["logp_next_resampled"]
        discount = self.config.gamma ** batch["n_step"] * ~batch[Columns.TERMINATEDS]
        targets: torch.Tensor = (batch[Columns.REWARDS] + discount * values).detach()
        return targets

    def extra_state(self) -> dict[str, torch.Tensor]:
        """The temperature: else a restored policy would explore as at the start."""
        return {"log_alpha": self.curr_log_alpha[DEFAULT_MODULE_ID]}

    def optimizers_by_setting(self) -> dict[str, torch.optim.Optimizer]:
        """Those of actor, critics and temperature."""
        named = {
            name.removeprefix(f"{DEFAULT_MODULE_ID}_"): optimizer
            for name, optimizer in self._named_optimizers.items()
        }
        return {"actor_lr": named["policy"], "critic_lr": named["qf"], "alpha_lr": named["alpha"]}


class SACConfig(ReplayConfigMixin, rllib_sac.SACConfig):
    """RLlib's SACConfig, with the buffer as flat settings that can be searched.

    The critics are the paper's own (see :class:`ObsActionCatalog`); a module of yours, set with
    ``rl_module()``, is taken as it is.
    """

    algorithm = "sac"
    runner_class = SACRunner
    learner_subclass = SACLearner
    module_class = SACModule
    catalog_class = ObsActionCatalog

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SAC)
        self.noise_correlation = 0.0
        #: The critics' loss: "huber", as RLlib has it, or "mse", as the paper has.
        self.td_error_loss_fn = "huber"
        self.rollout_fragment_length = 1
        self.training_intensity = 256.0

    def on_arrays_alone(self) -> dict[str, Any]:
        """The correlation of the noise and the squared TD error too."""
        return {
            **super().on_arrays_alone(),
            "noise_correlation": self.noise_correlation,
            "td_error_loss_fn": self.td_error_loss_fn != "huber",
        }


class SAC(OffPolicyMixin, rllib_sac.SAC):
    """Drop-in for ``ray.rllib.algorithms.sac.SAC``."""

    name = "sac"
    config_class = SACConfig

    def readings(self) -> list[Reading]:
        """The critics, read from the network."""
        found = super().readings()
        if self.on_arrays:
            found.append(Reading("twin_q", "network", self.learner.net.twin_q))
        return found
