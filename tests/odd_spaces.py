"""Environments with spaces that an algorithm cannot take, and one that cannot be made.

They have a module to themselves: the process that tries an environment imports its module first.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Broken(gym.Env[Any, Any]):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("the simulator is not licensed")


class Odd(gym.Env[Any, Any]):
    """Has the spaces it is told to have."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space = observation_space
        self.action_space = action_space

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, True, False, {}


gym.register("Broken-v0", Broken)
BOX = gym.spaces.Box(-1, 1, (2,))
ODD_SPACES = {
    "Dict": gym.spaces.Dict({"a": BOX}),
    "Tuple": gym.spaces.Tuple((BOX, BOX)),
    "MultiDiscrete": gym.spaces.MultiDiscrete([2, 3]),
    "MultiBinary": gym.spaces.MultiBinary(3),
    "Open": gym.spaces.Box(0, np.inf, (2,)),
}
for _name, _space in ODD_SPACES.items():
    gym.register(
        f"OddActions{_name}-v0", Odd, kwargs={"observation_space": BOX, "action_space": _space}
    )
UNREADABLE = {
    "Text": gym.spaces.Text(4),
    "Sequence": gym.spaces.Sequence(gym.spaces.Discrete(2)),
    "Graph": gym.spaces.Graph(BOX, None),
}
for _name, _space in UNREADABLE.items():
    gym.register(
        f"OddObservations{_name}-v0",
        Odd,
        kwargs={"observation_space": _space, "action_space": gym.spaces.Discrete(2)},
    )
