"""MiniGrid's worlds (Chevalier-Boisvert et al. 2023, arXiv 2306.13831), with a one-hot view.

A cell of the view has three numbers (object, colour, state), which are categories: each becomes
one-hot, and so does the direction, so that a fully connected network can read them. The text of
the mission is omitted: it is the same in every episode of the worlds listed here. In worlds with
varying missions the policy does not see the mission.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import TimeLimit
from rltune.envs.info import EnvInfo, Family

_world = partial(
    EnvInfo,
    family="minigrid",
    threshold=0.94,
    threshold_reason=(
        "the goal is worth 1 - 0.9 * steps / max_episode_steps: there in less than 7 % of them"
    ),
    extra="minigrid",
)


class OneHotView(gym.ObservationWrapper, RecordConstructorArgs):  # type: ignore[misc]
    """Encodes the view and the direction as one one-hot vector.

    Its dtype is uint8, so that a replay buffer takes a quarter of the memory.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        constants = import_module("minigrid.core.constants")
        tables = (constants.OBJECT_TO_IDX, constants.COLOR_TO_IDX, constants.STATE_TO_IDX)
        self._kinds = [np.eye(len(table), dtype=np.uint8) for table in tables]
        self._directions = np.eye(env.observation_space["direction"].n, dtype=np.uint8)
        width, height, _ = env.observation_space["image"].shape
        size = width * height * sum(map(len, self._kinds)) + len(self._directions)
        self.observation_space = gym.spaces.Box(0, 1, (size,), np.uint8)

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        """Returns the objects of all cells, their colours, their states, and the direction."""
        image = observation["image"]
        views = [kind[image[..., i]].ravel() for i, kind in enumerate(self._kinds)]
        return np.concatenate([*views, self._directions[observation["direction"]]])


def make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """Makes a world, with its own step limit unless another one is given."""
    env = gym.make(env_id, **kwargs)
    if env.spec.max_episode_steps is None:
        env = TimeLimit(env, env.unwrapped.max_steps)  # so that its spec shows the limit
    return OneHotView(env)


FAMILY = Family(
    listed=(
        _world("minigrid:MiniGrid-Empty-5x5-v0", "minigrid-empty", max_episode_steps=100),
        _world(
            "minigrid:MiniGrid-Empty-Random-5x5-v0",
            "minigrid-empty-random",
            max_episode_steps=100,
        ),
        _world("minigrid:MiniGrid-DoorKey-5x5-v0", "minigrid-doorkey", max_episode_steps=250),
        _world("minigrid:MiniGrid-DoorKey-8x8-v0", "minigrid-doorkey8x8", max_episode_steps=640),
    ),
    make=make,
    prefix="MiniGrid-",
    module="minigrid",
    others=_world("", "", threshold=None, threshold_reason=None),
)
