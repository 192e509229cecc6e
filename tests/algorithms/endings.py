"""An environment whose episodes end in every way, whatever the policy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Ends(gym.Env[np.ndarray, Any]):
    """Episodes of a length drawn evenly, whose last step ends the task, cuts it off, or both.

    Args:
        continuous: whether actions are numbers.
        image: whether observations are images.
    """

    def __init__(
        self, shortest: int = 1, longest: int = 3, continuous: bool = False, image: bool = False
    ) -> None:
        self.lengths = (shortest, longest + 1)
        self.observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
        if image:
            self.observation_space = gym.spaces.Box(0, 255, (36, 36, 1), np.uint8)
        self.action_space = gym.spaces.Discrete(2)
        if continuous:
            self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def _see(self) -> np.ndarray:
        space = self.observation_space
        numbers = self.np_random.uniform(space.low.min(), space.high.max(), space.shape)
        return numbers.astype(space.dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(*self.lengths))
        return self._see(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        kind = self.np_random.integers(3)
        over = self.left <= 0
        reward = float(self.np_random.normal())
        return self._see(), reward, bool(over and kind != 1), bool(over and kind > 0), {}
