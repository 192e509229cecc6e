"""SAC's updates."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.sac.sac_learner import (
    QF_LOSS_KEY,
    QF_PREDS,
    QF_TWIN_LOSS_KEY,
    QF_TWIN_PREDS,
)
from ray.rllib.algorithms.sac.torch.sac_torch_learner import SACTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from rltune.algorithms.off_policy import ReplayLearnerMixin

#: RLlib's names of the critics' outputs, by those of their losses.
CRITICS = {QF_LOSS_KEY: QF_PREDS, QF_TWIN_LOSS_KEY: QF_TWIN_PREDS}


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
