"""PPO (Schulman et al. 2017) on arrays, with RLlib's network and loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray._common.deprecation import DEPRECATED_VALUE
from ray.rllib.algorithms import ppo as rllib_ppo
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchCategorical
from ray.rllib.core.models.base import ENCODER_OUT

from rltune.algorithms.audit import Reading
from rltune.algorithms.categorical import LeanCategorical
from rltune.algorithms.config import FlatConfigMixin
from rltune.algorithms.image_encoder import PPOImageCatalog
from rltune.algorithms.learner import ArrayLearnerMixin
from rltune.algorithms.rl_trainable import RLTrainable
from rltune.algorithms.sampling_runner import SamplingRunner
from rltune.engine.normalisation import NormalisationMixin, RewardScale, as_input, to_device
from rltune.engine.rollout import Rollout, clip_rewards, gae


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


class PPORunner(SamplingRunner):
    """Samples actions, and keeps what they were drawn from."""

    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Actions, with their log-probabilities and the distribution's inputs."""
        inputs, distribution, actions = self.draw(obs)
        return actions.cpu().numpy(), {
            Columns.ACTION_LOGP: distribution.logp(actions).cpu().numpy(),
            Columns.ACTION_DIST_INPUTS: inputs.cpu().numpy(),
        }


class PPOLearner(ArrayLearnerMixin, PPOTorchLearner):
    """RLlib's PPO loss over minibatches taken by index."""

    def set_clock(self, env_steps: int) -> None:
        """The entropy coefficient's schedule too."""
        super().set_clock(env_steps)
        self.entropy_coeff_schedulers_per_module[DEFAULT_MODULE_ID].update(timestep=env_steps)

    def readings(self) -> list[Reading]:
        """The entropy coefficient too, from the schedule that acts, and the scale of rewards."""
        schedule = self.entropy_coeff_schedulers_per_module[DEFAULT_MODULE_ID]
        value = float(schedule.get_current_value())
        return [
            *super().readings(),
            Reading("entropy_coeff", "schedule", value),
            Reading("normalize_rewards", "network", self.net.reward_scale is not None),
        ]

    def extra_state(self) -> dict[str, torch.Tensor]:
        """The weight of the KL penalty, which moves as training goes."""
        return {"kl_coeff": self.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID]}

    def update_from_rollouts(self, rollouts: list[Rollout]) -> None:
        """``num_epochs`` passes over the rollouts in minibatches, in a fresh order each.

        Raises:
            Divergence: an update met what is not finite, and was not applied.
        """
        self.net.train()
        batch = self._batch(rollouts)
        rows = len(batch[Columns.OBS])
        # Even parts: a last minibatch of a few rows would weigh as much as a full one.
        parts = max(1, round(rows / self.config.minibatch_size))
        for _epoch in range(self.config.num_epochs):
            # One minibatch of everything needs no order.
            order = torch.randperm(rows, device=self.device) if parts > 1 else slice(None)
            minibatches = [column[order].tensor_split(parts) for column in batch.values()]
            for columns in zip(*minibatches, strict=True):
                self.gradient_step(dict(zip(batch, columns, strict=True)))
        self.watch.check()

    @torch.no_grad()
    def _batch(self, rollouts: list[Rollout]) -> dict[str, torch.Tensor]:
        """One row a transition, with standardised advantages and value targets."""
        columns: dict[str, list[np.ndarray]] = {}
        for rollout, rewards in zip(rollouts, self._rewards(rollouts), strict=True):
            values, following = self._values(rollout)
            advantages = gae(
                rewards,
                values,
                following,
                rollout.terminated,
                rollout.terminated | rollout.truncated,
                self.config.gamma,
                self.config.lambda_,
            )
            for name, column in {
                Columns.OBS: rollout.obs,
                Columns.ACTIONS: rollout.actions,
                **rollout.extras,
                "advantages": advantages,
                "value_targets": advantages + values,
            }.items():
                columns.setdefault(name, []).append(column[rollout.valid])
        batch = {
            name: to_device(np.concatenate(parts), self.device) for name, parts in columns.items()
        }
        spread = batch["advantages"].std(correction=0).clamp_min(1e-4)
        batch["advantages"] = (batch["advantages"] - batch["advantages"].mean()) / spread
        return batch

    def _rewards(self, rollouts: list[Rollout]) -> list[np.ndarray]:
        """The rewards to learn from, shape (T, N), one array a rollout."""
        clipped = [clip_rewards(rollout.rewards, self.config.clip_rewards) for rollout in rollouts]
        scale = self.net.reward_scale
        return clipped if scale is None else scale.scaled(clipped, rollouts, self.config.gamma)

    def _values(self, rollout: Rollout) -> tuple[np.ndarray, np.ndarray]:
        """Values of a rollout's observations and of those that follow, each of shape (T, N)."""
        steps, copies, *shape = rollout.obs.shape
        # Within an episode they are the observations of the next row.
        asked = rollout.terminated | rollout.truncated
        asked[-1] = True
        obs = np.concatenate([rollout.obs.reshape(-1, *shape), rollout.next_obs[asked]])
        flat = as_input(self.net, to_device(obs, self.device))
        found: np.ndarray = self.net.compute_values({Columns.OBS: flat}).cpu().numpy()
        values = found[: steps * copies].reshape(steps, copies)
        following = np.concatenate([values[1:], values[-1:]])
        following[asked] = found[steps * copies :]
        return values, following


class PPOConfig(FlatConfigMixin, rllib_ppo.PPOConfig):
    """RLlib's PPOConfig; rltune's defaults where RLlib's only serve the stock engine."""

    algorithm = "ppo"
    runner_class = PPORunner
    learner_subclass = PPOLearner
    module_class = PPOModule
    catalog_class = PPOImageCatalog
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

    def on_arrays_alone(self) -> dict[str, Any]:
        """The scale of rewards and the correlation of the noise too."""
        return {
            **super().on_arrays_alone(),
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
