"""Gymnasium's MuJoCo tasks, version 5. Thresholds are gymnasium's, or ours where it names none."""

from __future__ import annotations

import logging
from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
from rltune.envs.info import EnvInfo, Family

_spec = partial(EnvInfo, family="mujoco", extra="mujoco", max_episode_steps=1000)
log = logging.getLogger("rltune")


def make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """Makes a task; logs MuJoCo's warnings, which it would print and write to a file."""
    import_module("mujoco").set_mju_user_warning(log.debug)
    return gym.make(env_id, **kwargs)


FAMILY = Family(
    listed=(
        _spec("HalfCheetah-v5", "halfcheetah", threshold=4800.0),
        _spec("Hopper-v5", "hopper", threshold=3800.0),
        _spec(
            "Walker2d-v5",
            "walker2d",
            threshold=4000.0,
            threshold_reason="upright for a whole episode (1 a step) and ahead at 3 m/s (1 a m/s)",
        ),
        _spec("Ant-v5", "ant", threshold=6000.0),
        _spec("Swimmer-v5", "swimmer", threshold=360.0),
        _spec(
            "Humanoid-v5",
            "humanoid",
            threshold=6000.0,
            threshold_reason=(
                "upright for a whole episode (5 a step) and ahead at 0.8 m/s (1.25 a m/s)"
            ),
        ),
        _spec("Reacher-v5", "reacher", threshold=-3.75, max_episode_steps=50),
        _spec("InvertedPendulum-v5", "inverted-pendulum", threshold=950.0, pooled=True),
        _spec(
            "InvertedDoublePendulum-v5", "inverted-double-pendulum", threshold=9100.0, pooled=True
        ),
    ),
    make=make,
)
