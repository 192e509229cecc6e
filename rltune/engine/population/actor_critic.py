"""PPO's networks of M members at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rltune.engine.population.distributions import Categorical, Gaussian
from rltune.engine.population.layers import Stack
from rltune.engine.population.weights import Views


@dataclass(frozen=True)
class ActorCritic:
    """PPO's networks.

    Attributes:
        shared: read by both heads, or no layers.
        policy, value: observations, or what ``shared`` makes of them, to outputs.
        family: what the policy's outputs mean.
        log_std: name of log spreads that do not depend on the observation; None where they do.
        log_std_limit: their clip; None for none.
        weights: names of the trained weights, in the order of RLlib's optimiser.
    """

    shared: Stack
    policy: Stack
    value: Stack
    family: Categorical | Gaussian
    weights: tuple[str, ...]
    log_std: str | None = None
    log_std_limit: float | None = None

    def outputs(self, features: torch.Tensor, weights: Views) -> torch.Tensor:
        """The policy's outputs (M, N, K) for features (M, N, ...)."""
        found = self.policy(features, weights)
        if isinstance(self.family, Categorical):
            return found
        if self.log_std is not None:
            log_std = weights[self.log_std].unsqueeze(1).expand(found.shape)
        else:
            found, log_std = found.chunk(2, -1)
        if self.log_std_limit is not None:
            log_std = log_std.clamp(-self.log_std_limit, self.log_std_limit)
        return torch.cat([found, log_std], -1)

    def values(self, features: torch.Tensor, weights: Views) -> torch.Tensor:
        """Values (M, N) for features (M, N, ...)."""
        return self.value(features, weights).squeeze(-1)
