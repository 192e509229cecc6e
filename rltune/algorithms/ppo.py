"""PPO (Schulman et al. 2017) on arrays, with RLlib's network and loss."""

from __future__ import annotations

import numpy as np
import torch
from ray.rllib.algorithms import ppo as rllib_ppo
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from rltune.algorithms.learner import ArrayLearner
from rltune.algorithms.member import FlatConfig, Member
from rltune.algorithms.rollout import Rollout, gae
from rltune.algorithms.runner import ArrayEnvRunner


class PPORunner(ArrayEnvRunner):
    """Samples from the policy's distribution."""

    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Actions, with their log-probabilities and the distribution's inputs."""
        inputs = self.module.forward_exploration({Columns.OBS: obs})[Columns.ACTION_DIST_INPUTS]
        distribution = self.module.get_exploration_action_dist_cls().from_logits(inputs)
        actions = distribution.sample()
        return actions.cpu().numpy(), {
            Columns.ACTION_LOGP: distribution.logp(actions).cpu().numpy(),
            Columns.ACTION_DIST_INPUTS: inputs.cpu().numpy(),
        }


class PPOLearner(ArrayLearner, PPOTorchLearner):
    """RLlib's PPO loss over minibatches taken by index."""

    def set_clock(self, env_steps: int) -> None:
        """The entropy coefficient's schedule too."""
        super().set_clock(env_steps)
        self.entropy_coeff_schedulers_per_module[DEFAULT_MODULE_ID].update(timestep=env_steps)

    def update_from_rollouts(self, rollouts: list[Rollout]) -> None:
        """``num_epochs`` passes over the rollouts in minibatches, in a fresh order each."""
        batch = self._batch(rollouts)
        rows = len(batch[Columns.OBS])
        # Even parts: a last minibatch of a few rows would weigh as much as a full one.
        parts = max(1, round(rows / self.config.minibatch_size))
        for _epoch in range(self.config.num_epochs):
            order = torch.randperm(rows, device=self.device)
            for chosen in order.tensor_split(parts):
                self.gradient_step({name: column[chosen] for name, column in batch.items()})

    @torch.no_grad()
    def _batch(self, rollouts: list[Rollout]) -> dict[str, torch.Tensor]:
        """One row a transition, with standardised advantages and value targets."""
        columns: dict[str, list[np.ndarray]] = {}
        for rollout in rollouts:
            values = self._values(rollout.obs)
            advantages = gae(
                rollout.rewards,
                values,
                self._values(rollout.next_obs),
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
        batch = {name: self._tensor(np.concatenate(parts)) for name, parts in columns.items()}
        spread = batch["advantages"].std(correction=0).clamp_min(1e-4)
        batch["advantages"] = (batch["advantages"] - batch["advantages"].mean()) / spread
        return batch

    def _values(self, obs: np.ndarray) -> np.ndarray:
        """Values of observations of shape (T, N, ...), as (T, N)."""
        flat = self._tensor(obs.reshape(-1, *obs.shape[2:]))
        values: np.ndarray = self.net.compute_values({Columns.OBS: flat}).cpu().numpy()
        return values.reshape(obs.shape[:2])

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(
            self.device, tensor.dtype if not tensor.is_floating_point() else torch.float32
        )


class PPOConfig(FlatConfig, rllib_ppo.PPOConfig):
    """RLlib's PPOConfig; rltune's defaults where RLlib's only serve the stock engine."""

    runner_class = PPORunner
    learner_subclass = PPOLearner
    flat_model_keys = (*FlatConfig.flat_model_keys, "vf_share_layers")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or PPO)
        self.vf_share_layers = None


class PPO(Member, rllib_ppo.PPO):
    """Drop-in for ``ray.rllib.algorithms.ppo.PPO``."""

    name = "ppo"
    config_class = PPOConfig

    def training_step(self) -> None:
        """One batch of ``train_batch_size`` steps, then the updates on it."""
        self.learner.update_from_rollouts(
            self.collect(self.steps_per_env(self.config.train_batch_size))
        )
        self.end_updates()
