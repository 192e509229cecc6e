"""Environments that are looked at: one that shows its clock, one that cannot be drawn."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

#: The shade of the clock's image grows by this much a step.
SHADE = 5
#: Seeds that environments of this module were reset with, in this process.
SEEDS: list[int | None] = []


class Clock(gym.Env[np.ndarray, int]):
    """40 steps; it sees, and draws, a plain grey image that gets lighter. Its sides are odd.

    Args:
        fails_at: the step that raises.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 120}
    observation_space = gym.spaces.Box(0, 255, (42, 42, 1), np.uint8)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None, fails_at: int = 100) -> None:
        self.render_mode, self.fails_at = render_mode, fails_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        SEEDS.append(seed)
        self.count = 0
        return self._see(), {}

    def _see(self) -> np.ndarray:
        noise = self.np_random.integers(0, 20, (42, 42, 1))
        return (noise + SHADE * self.count).astype(np.uint8)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        if self.count == self.fails_at:
            raise RuntimeError("boom")
        return self._see(), float(action), self.count == 40, False, {}

    def render(self) -> np.ndarray:
        return np.full((51, 81, 3), SHADE * self.count, np.uint8)


class Blind(Clock):
    """The same, without a render mode."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}


gym.register("Clock-v0", Clock)
gym.register("Blind-v0", Blind)
