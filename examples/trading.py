"""A trading book: Dict observations, arguments, and the profit as a custom metric.

    rltune ppo trading.py:Book --env-arg fee=0.001 --steps 50_000

A price oscillates around 100. The book holds between -3 and 3 shares; each step buys, keeps or
sells one share. Its profit at the end is reported as ``episode_info/profit``.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Book(gym.Env[dict[str, Any], int]):
    """One episode is a day of ``steps`` decisions.

    Args:
        fee: fee for each share bought or sold, as a fraction of its price.
        swing: amplitude of the price.
        steps: number of decisions in a day.
    """

    action_space = spaces.Discrete(3, start=-1)  # sell, keep, buy

    def __init__(self, fee: float = 0.001, swing: float = 5.0, steps: int = 100) -> None:
        self.fee, self.swing, self.steps = fee, swing, steps
        self.observation_space = spaces.Dict(
            {
                "market": spaces.Dict({"change": spaces.Box(-np.inf, np.inf, (2,), np.float32)}),
                "shares": spaces.Discrete(7, start=-3),
            }
        )

    def _price(self) -> float:
        angle = self.phase + 2 * np.pi * self.count / 25
        return 100 + self.swing * float(np.sin(angle))

    def _see(self) -> dict[str, Any]:
        change = np.float32([self.price - 100, self.price - self.before])
        return {"market": {"change": change}, "shares": self.shares}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Opens an empty book at a random phase of the price."""
        super().reset(seed=seed)
        self.count, self.shares, self.profit = 0, 0, 0.0
        self.phase = float(self.np_random.uniform(0, 2 * np.pi))
        self.price = self.before = self._price()
        return self._see(), {}

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Trades and advances the price; the reward is the gain of the book."""
        shares = int(np.clip(self.shares + int(action), -3, 3))
        fees = abs(shares - self.shares) * self.price * self.fee
        self.shares, self.count, self.before = shares, self.count + 1, self.price
        self.price = self._price()
        gain = self.shares * (self.price - self.before) - fees
        self.profit += gain
        return self._see(), gain, False, self.count >= self.steps, {"profit": self.profit}
