"""Environments of a user's own, in a module that workers can import."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Endless(gym.Env[Any, Any]):
    """Never ends; a point that actions push about. Its one argument is what it starts from."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2, 2), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, start: float = 0.0) -> None:
        self.start = start

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at = np.full((2, 2), self.start, np.float32)
        return self.at.copy(), {}

    def step(self, action: Any) -> Any:
        self.at = np.clip(self.at + 0.1 * float(action[0]), -1, 1).astype(np.float32)
        return self.at.copy(), -float(abs(self.at[0, 0])), False, False, {}

    class Within(gym.Env[Any, Any]):
        """A class in a class; its observations are small images and its actions two."""

        observation_space = gym.spaces.Box(0, 255, (10, 12, 2), np.uint8)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return self._look(), {}

        def step(self, action: Any) -> Any:
            return self._look(), float(action), bool(self.np_random.random() < 0.1), False, {}

        def _look(self) -> np.ndarray:
            return self.np_random.integers(0, 256, (10, 12, 2), dtype=np.uint8)


class Kinds(gym.Env[Any, Any]):
    """Observations are kinds of kinds."""

    observation_space = gym.spaces.MultiDiscrete([3, 4])
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.array([2, 1]), {}

    def step(self, action: Any) -> Any:
        return np.array([0, 3]), 1.0, True, False, {}


class Limits(Endless):
    """Ends its episodes itself, with the step after a limit that it is given."""

    def __init__(self, max_episode_steps: int = 5) -> None:
        super().__init__()
        self.limit = max_episode_steps

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.steps += 1
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.steps > self.limit, False, info
