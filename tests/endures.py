"""An environment whose episodes last as long as they do, whatever the policy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

#: Mean length of an episode, and so its mean return.
MEAN = 400


class Endures(gym.Env[np.ndarray, int]):
    """Reward 1 a step, for a number of steps that is drawn evenly.

    Args:
        breaks_at: step at which the first copy raises; 0 for never.
    """

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, shortest: int = 1, longest: int = 2 * MEAN - 1, breaks_at: int = 0) -> None:
        self.shortest, self.longest, self.breaks_at = shortest, longest, breaks_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        self.length = int(self.np_random.integers(self.shortest, self.longest + 1))
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        if self.steps == self.breaks_at:
            raise RuntimeError("out of breath")
        over = self.steps >= self.length
        return np.zeros(2, np.float32), 1.0, over, False, {"length": self.steps}
