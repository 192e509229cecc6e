"""RLlib's categorical distribution, without what costs time on small networks."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from ray.rllib.core.distribution.torch.torch_distribution import TorchCategorical


class LeanCategorical(TorchCategorical):
    """The same values and gradients; the logits are normalised once, and only when needed.

    torch's own distribution, which RLlib wraps, normalises when it is made and checks shapes at
    every call: on a network of 64 units that takes longer than the network.

    Args:
        logits: unnormalised log-probabilities, shape (..., actions).
    """

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits
        self.probs = None

    @cached_property
    def log_probs(self) -> torch.Tensor:
        """Normalised, shape (..., actions)."""
        return self.logits.log_softmax(-1)

    def logp(self, value: torch.Tensor, **_: Any) -> torch.Tensor:
        """Log-probabilities of actions of shape (...)."""
        return self.log_probs.gather(-1, value.long().unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> torch.Tensor:
        """Shape (...)."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)

    def kl(self, other: LeanCategorical) -> torch.Tensor:
        """Kullback-Leibler divergence from another one, shape (...)."""
        return (self.log_probs.exp() * (self.log_probs - other.log_probs)).sum(-1)

    def sample(self, **_: Any) -> torch.Tensor:
        """Draws an action each, by the Gumbel trick."""
        return (self.logits - torch.empty_like(self.logits).exponential_().log_()).argmax(-1)
