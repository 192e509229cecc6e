"""An environment whose episodes end in every way, whatever the policy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Ends(gym.Env[np.ndarray, Any]):
    """Episodes of a length drawn evenly, whose last step ends the task, cuts it off, or both.

    Observations are a number of the episode's own, its steps so far in tenths, and noise; rewards
    are the steps before.

    Args:
        continuous: whether actions are numbers.
        image: whether observations are images of noise.
        raises: every so many steps of a copy one raises; 0 for none.
    """

    def __init__(
        self,
        shortest: int = 1,
        longest: int = 3,
        continuous: bool = False,
        image: bool = False,
        raises: int = 0,
    ) -> None:
        self.lengths, self.image, self.raises, self.taken = (
            (shortest, longest + 1),
            image,
            raises,
            0,
        )
        self.observation_space = gym.spaces.Box(-2, 2, (3,), np.float32)
        if image:
            self.observation_space = gym.spaces.Box(0, 255, (36, 36, 1), np.uint8)
        self.action_space = gym.spaces.Discrete(2)
        if continuous:
            self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def _see(self) -> np.ndarray:
        if self.image:
            return self.np_random.integers(0, 256, (36, 36, 1), dtype=np.uint8)
        numbers = (self.episode, (self.age % 16) / 10, self.np_random.uniform(-1, 1))
        return np.array(numbers, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.age, self.episode = 0, self.np_random.uniform(-1, 1)
        self.length = int(self.np_random.integers(*self.lengths))
        return self._see(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.taken += 1
        if self.raises and self.taken % self.raises == 0:
            raise RuntimeError("out of paper")
        self.age += 1
        over, kind = self.age >= self.length, self.np_random.integers(3)
        reward = float(self.age - 1)
        return self._see(), reward, bool(over and kind != 1), bool(over and kind > 0), {}
