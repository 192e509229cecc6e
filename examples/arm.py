"""A robot's arm with asymmetric torques: a factory, and an id that is registered.

    rltune sac arm.py:heavy_arm --env-arg load=0.5 --steps 20_000
    rltune sac Arm-v0 --import arm --steps 20_000

Both name the same class.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Arm(gym.Env[np.ndarray, np.ndarray]):
    """Two joints are to come to rest at 0. Each motor pushes harder than it pulls.

    Args:
        load: kilograms that it carries.
    """

    def __init__(self, load: float = 0.0) -> None:
        self.mass = 1.0 + load
        low, high = np.float64([-0.5, -1.0]), np.float64([2.0, 1.5])
        self.action_space = spaces.Box(low, high, dtype=np.float64)  # newton metres
        self.observation_space = spaces.Box(-10, 10, (2, 2), np.float64)  # angle, speed

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts from random angles, at rest."""
        super().reset(seed=seed)
        self.state = np.stack([self.np_random.uniform(-1, 1, 2), np.zeros(2)], axis=1)
        return self.state.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A twentieth of a second; the reward is minus the distance, and the effort."""
        angle, speed = self.state.T
        speed = 0.95 * speed + 0.05 * (action / self.mass - np.sin(angle))
        self.state = np.stack([angle + 0.05 * speed, speed], axis=1).clip(-10, 10)
        cost = np.abs(self.state[:, 0]).sum() + 0.01 * np.square(action).sum()
        return self.state.copy(), -float(cost), False, False, {}


def heavy_arm(load: float = 0.5) -> gym.Env[Any, Any]:
    """An arm that carries something, in episodes of ten seconds: any function that makes one."""
    return gym.wrappers.TimeLimit(Arm(load), 200)


gym.register("Arm-v0", Arm, max_episode_steps=200)
