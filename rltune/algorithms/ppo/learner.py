"""PPO's updates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo.ppo import LEARNER_RESULTS_KL_KEY
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from rltune.algorithms.audit import Reading
from rltune.algorithms.learner import ArrayLearnerMixin
from rltune.engine.normalisation import as_input, to_device
from rltune.engine.rollout import Rollout, clip_rewards, gae

#: Transitions that the KL divergence is measured on where the loss has no use for it.
KL_ROWS = 128


class PPOLearner(ArrayLearnerMixin, PPOTorchLearner):
    """RLlib's PPO loss over minibatches taken by index."""

    def build(self) -> None:
        """Builds network and optimisers; nothing has been updated yet."""
        super().build()
        self._updated_on: dict[str, torch.Tensor] = {}

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
        if not self.config.use_kl_loss:  # then the loss measures it
            self._updated_on = {name: column[:KL_ROWS] for name, column in batch.items()}

    def scalars(self) -> dict[str, Any]:
        """The KL divergence too: once a report, for it costs as much as half an update."""
        if self._updated_on:
            self._log_kl(self._updated_on)
            self._updated_on = {}
        return super().scalars()

    @torch.no_grad()
    def _log_kl(self, batch: dict[str, torch.Tensor]) -> None:
        """Measures how far the policy has moved since it chose the actions of a few transitions."""
        batch = {**batch, Columns.OBS: as_input(self.net, batch[Columns.OBS])}
        after = self.net._forward_train(batch)[Columns.ACTION_DIST_INPUTS]
        before, now = (
            self.net.get_train_action_dist_cls().from_logits(inputs)
            for inputs in (batch[Columns.ACTION_DIST_INPUTS], after)
        )
        self.metrics.log_value((DEFAULT_MODULE_ID, LEARNER_RESULTS_KL_KEY), before.kl(now).mean())

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
