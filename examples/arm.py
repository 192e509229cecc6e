"""A robot arm with asymmetric torques: a factory function, and a registered id.

    rltune sac arm.py:heavy_arm --env-arg load=0.5 --steps 20_000
    rltune sac Arm-v0 --import arm --steps 20_000

Both train on the same class.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Arm(gym.Env[np.ndarray, np.ndarray]):
    """The task is to bring two joints to rest at 0. Each motor pushes harder than it pulls.

    Args:
        load: load in kilograms.
    """

    def __init__(self, load: float = 0.0) -> None:
        self.mass = 1.0 + load
        low, high = np.float64([-0.5, -1.0]), np.float64([2.0, 1.5])
        self.action_space = spaces.Box(low, high, dtype=np.float64)  # newton metres
        self.observation_space = spaces.Box(-10, 10, (2, 2), np.float64)  # angle, speed

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts at rest from random angles."""
        super().reset(seed=seed)
        self.state = np.stack([self.np_random.uniform(-1, 1, 2), np.zeros(2)], axis=1)
        return self.state.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Advances by 1/20 s; the reward is minus the distance and the effort."""
        angle, speed = self.state.T
        speed = 0.95 * speed + 0.05 * (action / self.mass - np.sin(angle))
        self.state = np.stack([angle + 0.05 * speed, speed], axis=1).clip(-10, 10)
        cost = np.abs(self.state[:, 0]).sum() + 0.01 * np.square(action).sum()
        return self.state.copy(), -float(cost), False, False, {}


def heavy_arm(load: float = 0.5) -> gym.Env[Any, Any]:
    """Makes an arm with a load, in episodes of ten seconds. Any such function will do."""
    return gym.wrappers.TimeLimit(Arm(load), 200)


gym.register("Arm-v0", Arm, max_episode_steps=200)
