"""Noise of exploring actions that is correlated from one step to the next."""

from __future__ import annotations

import math

import torch


class CorrelatedNoise:
    """Standard normal noise ``z' = rho z + sqrt(1 - rho^2) w``, ``w`` white.

    A stationary Ornstein-Uhlenbeck process. Each draw by itself is standard normal; together they
    push one way for about ``1 / (1 - rho)`` steps, and reach what takes momentum (coloured noise:
    Eberhard et al. 2023 for SAC, Hollenstein et al. 2024 for PPO).

    Args:
        rho: correlation of a draw with the one before, in [0, 1).
    """

    def __init__(self, rho: float) -> None:
        self.rho = rho
        self._last: torch.Tensor | None = None

    def sample(self, like: torch.Tensor) -> torch.Tensor:
        """The next draw, in the shape, dtype and device of a tensor."""
        noise = torch.randn_like(like)
        if self._last is not None:
            noise = self.rho * self._last + math.sqrt(1 - self.rho**2) * noise
        self._last = noise
        return noise
