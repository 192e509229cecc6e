"""A grid with walls, where impossible actions are masked and never taken.

    rltune dqn warehouse.py:Warehouse --steps 40_000

The mask comes from the method ``action_masks()``; RLlib's observation ``{"observations": ...,
"action_mask": ...}`` works as well.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left


class Warehouse(gym.Env[np.ndarray, int]):
    """A robot searches for the door in the far corner.

    Args:
        size: number of rows and of columns.
        walls: share of the cells with shelves.
    """

    def __init__(self, size: int = 6, walls: float = 0.2) -> None:
        self.size, self.walls = size, walls
        # Three planes: shelves, the robot, the door.
        self.observation_space = spaces.Box(0, 1, (size, size, 3), np.uint8)
        self.action_space = spaces.Discrete(len(MOVES))

    def action_masks(self) -> np.ndarray:
        """Returns which moves do not end in a shelf or outside, shape (4,)."""
        return np.array([self._is_free(*self._after(move)) for move in MOVES])

    def _after(self, move: tuple[int, int]) -> tuple[int, int]:
        return self.at[0] + move[0], self.at[1] + move[1]

    def _is_free(self, row: int, column: int) -> bool:
        inside = 0 <= row < self.size and 0 <= column < self.size
        return inside and not self.shelves[row, column]

    def _see(self) -> np.ndarray:
        planes = np.zeros((self.size, self.size, 3), np.uint8)
        planes[..., 0] = self.shelves
        planes[(*self.at, 1)] = planes[-1, -1, 2] = 1
        return planes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Places new shelves; the way along the left and the lower wall is always free."""
        super().reset(seed=seed)
        self.shelves = self.np_random.random((self.size, self.size)) < self.walls
        self.shelves[:, 0] = self.shelves[-1, :] = False
        self.at, self.count = (0, 0), 0
        return self._see(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Moves the robot; each step costs 0.01, the door is worth 1."""
        if not self.action_masks()[action]:
            raise ValueError(f"move {action} is not possible at {self.at}")
        self.at, self.count = self._after(MOVES[action]), self.count + 1
        there = self.at == (self.size - 1, self.size - 1)
        info = {"is_success": there}
        return self._see(), float(there) - 0.01, there, self.count >= 10 * self.size, info
