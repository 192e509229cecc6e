"""Vectorised environments of a user's own, whose arrays may be written to again."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorWrapper


class FreshArrays(VectorWrapper):  # type: ignore[misc]
    """Copies what an environment returns: it may fill the same arrays in its next step.

    What is learned from is kept for many steps, and all of its rows would be those of the last one.
    """

    def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
        """First observations."""
        obs, infos = self.env.reset(**given)
        return np.array(obs), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every copy."""
        *arrays, infos = self.env.step(actions)
        obs, rewards, terminated, truncated = map(np.array, arrays)
        return obs, rewards, terminated, truncated, infos
