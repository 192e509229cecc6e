"""Exploration noise that is correlated over time."""

from __future__ import annotations

import math

import torch


class CorrelatedNoise:
    """Standard normal noise ``z' = rho z + sqrt(1 - rho^2) w``, ``w`` white.

    A stationary Ornstein-Uhlenbeck process. Each draw is standard normal; successive draws keep
    their direction for about ``1 / (1 - rho)`` steps, which explores tasks that need momentum
    (coloured noise: Eberhard et al. 2023 for SAC, Hollenstein et al. 2024 for PPO).

    Args:
        rho: correlation of a draw with the previous one, in [0, 1).
    """

    def __init__(self, rho: float) -> None:
        self.rho = rho
        self._last: torch.Tensor | None = None

    def sample(self, like: torch.Tensor) -> torch.Tensor:
        """Draws noise with the shape, dtype and device of a tensor."""
        noise = torch.randn_like(like)
        if self._last is not None:
            noise = self.rho * self._last + math.sqrt(1 - self.rho**2) * noise
        self._last = noise
        return noise
