"""Distributions over actions, computed from a policy's outputs (M, N, K)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from rltune.engine.population.streams import Streams

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
_LOG_2 = math.log(2)


class Family(Protocol):
    """What a policy's outputs mean.

    Attributes:
        width: numbers that the outputs have per observation.
        action_shape: shape of one action.
        action_dtype: of an action's numbers.
    """

    @property
    def width(self) -> int: ...
    @property
    def action_shape(self) -> tuple[int, ...]: ...
    @property
    def action_dtype(self) -> torch.dtype: ...

    def log_prob(self, outputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of actions (M, N, ...), shape (M, N)."""

    def entropy(self, outputs: torch.Tensor) -> torch.Tensor:
        """Shape (M, N)."""

    def divergence(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Kullback-Leibler divergence of ``after`` from ``before``, shape (M, N)."""


@dataclass(frozen=True)
class Categorical:
    """One of ``choices`` actions; outputs are unnormalised log-probabilities."""

    choices: int
    action_shape: tuple[int, ...] = ()
    action_dtype: torch.dtype = torch.int64

    @property
    def width(self) -> int:
        """One number a choice."""
        return self.choices

    def log_prob(self, outputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """See :class:`Family`."""
        return outputs.log_softmax(-1).gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)

    def entropy(self, outputs: torch.Tensor) -> torch.Tensor:
        """See :class:`Family`."""
        log_probs = outputs.log_softmax(-1)
        return -(log_probs.exp() * log_probs).sum(-1)

    def divergence(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """See :class:`Family`."""
        old, new = before.log_softmax(-1), after.log_softmax(-1)
        return (old.exp() * (old - new)).sum(-1)

    def sample(self, outputs: torch.Tensor, streams: Streams) -> torch.Tensor:
        """Draws an action each, by the Gumbel trick."""
        noise = streams.uniform(*outputs.shape[1:], dtype=outputs.dtype)
        return (outputs - noise.log_().neg_().log_()).argmax(-1)


@dataclass(frozen=True)
class Gaussian:
    """``actions`` independent normal numbers; outputs are means, then logs of the spreads."""

    actions: int

    @property
    def width(self) -> int:
        """Two numbers an action."""
        return 2 * self.actions

    @property
    def action_shape(self) -> tuple[int, ...]:
        """One axis."""
        return (self.actions,)

    @property
    def action_dtype(self) -> torch.dtype:
        """Single precision."""
        return torch.float32

    def log_prob(self, outputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """See :class:`Family`."""
        mean, log_std = outputs.chunk(2, -1)
        apart = (actions - mean) / log_std.exp()
        return -(0.5 * apart.square() + log_std + _HALF_LOG_TAU).sum(-1)

    def entropy(self, outputs: torch.Tensor) -> torch.Tensor:
        """See :class:`Family`."""
        return (outputs.chunk(2, -1)[1] + 0.5 + _HALF_LOG_TAU).sum(-1)

    def divergence(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """See :class:`Family`."""
        (old, old_log), (new, new_log) = before.chunk(2, -1), after.chunk(2, -1)
        ratio = (2 * (old_log - new_log)).exp()
        apart = ((old - new) / new_log.exp()).square()
        return 0.5 * (ratio + apart - 1 - 2 * (old_log - new_log)).sum(-1)


def squashed(unsquashed: torch.Tensor, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Actions within [-1, 1] by tanh, and their log-probabilities (M, N).

    The tanh's part is ``log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2x))`` (Haarnoja et al. 2018,
    appendix C).

    Args:
        unsquashed: normal draws, shape (M, N, A).
        outputs: what they were drawn from, see :class:`Gaussian`.
    """
    gaussian = Gaussian(unsquashed.shape[-1])
    slope = 2 * (_LOG_2 - unsquashed - functional.softplus(-2 * unsquashed))
    return unsquashed.tanh(), gaussian.log_prob(outputs, unsquashed) - slope.sum(-1)
