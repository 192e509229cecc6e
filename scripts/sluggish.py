"""CartPole as a simulator that takes its time: training takes as long on a busy machine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv

#: Seconds of a step.
SECONDS = 0.005
#: Steps of an episode.
LONGEST = 200


class Sluggish(CartPoleEnv):
    """Sleeps in each step."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self._steps = 0

    def reset(self, **words: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """As CartPole's."""
        self._steps = 0
        return super().reset(**words)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """As CartPole's, later."""
        time.sleep(SECONDS)
        self._steps += 1
        observation, reward, terminated, _, info = super().step(action)
        return observation, float(reward), terminated, self._steps >= LONGEST, info
