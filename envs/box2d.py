"""Gymnasium's Box2D tasks. Thresholds and caps are gymnasium's own.

CarRacing has grey images cropped to 84 x 84: without the dashboard, which is the lowest 12 of 96
rows, and without 6 columns on either side.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import GrayscaleObservation, TransformObservation
from rltune.envs.info import EnvInfo, Family

_spec = partial(EnvInfo, family="box2d", extra="box2d")


def make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """Makes a task; CarRacing with grey images of shape (84, 84, 1)."""
    env = gym.make(env_id, **kwargs)
    if not env_id.startswith("CarRacing"):
        return env
    image = gym.spaces.Box(0, 255, (84, 84, 3), env.observation_space.dtype)
    cut = TransformObservation(env, lambda frame: frame[:84, 6:90], image)
    return GrayscaleObservation(cut, keep_dim=True)


FAMILY = Family(
    listed=(
        _spec(
            "LunarLander-v3", "lunarlander", threshold=200.0, max_episode_steps=1000, pooled=True
        ),
        _spec(
            "LunarLanderContinuous-v3",
            "lunarlander-continuous",
            threshold=200.0,
            max_episode_steps=1000,
            pooled=True,
        ),
        _spec(
            "BipedalWalker-v3",
            "bipedalwalker",
            threshold=300.0,
            max_episode_steps=1600,
            pooled=True,
        ),
        _spec(
            "BipedalWalkerHardcore-v3",
            "bipedalwalker-hardcore",
            threshold=300.0,
            max_episode_steps=2000,
            pooled=True,
        ),
        _spec(
            "CarRacing-v3",
            "carracing",
            threshold=900.0,
            max_episode_steps=1000,
            images=True,
        ),
    ),
    make=make,
)
