"""Environments: short names for gymnasium ids, and the one way an environment is made.

A family is one module here that lists its ``SPECS``; adding one is a new module and a row in
``FAMILIES``. Everything that trains or evaluates makes its environments with :func:`make` and
:func:`make_vec`, in the driver and in Ray workers alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from rltune.envs import box2d, classic_control, mujoco, toy_text
from rltune.envs.frames import JoinFrames
from rltune.envs.spec import EnvSpec

__all__ = ["SPECS", "EnvSpec", "JoinFrames", "gym_id", "make", "make_vec", "reveal"]

FAMILIES = (classic_control, box2d, toy_text, mujoco)
SPECS: dict[str, EnvSpec] = {spec.name: spec for family in FAMILIES for spec in family.SPECS}

#: Starts the name of an environment variable that holds an environment argument kept secret.
SECRET_PREFIX = "RLTUNE_SECRET_"

#: Copies from which an environment's own vectorised version is faster (CartPole, measured: one
#: step of it costs as much as four single ones).
VECTORISED_FROM = 4


def gym_id(name: str) -> str:
    """The gymnasium id behind a short name; any other text is returned as it is."""
    return SPECS[name].id if name in SPECS else name


def reveal(env_args: Mapping[str, Any]) -> dict[str, Any]:
    """Environment arguments with ``$RLTUNE_SECRET_X`` replaced by that variable's value.

    Saved configurations hold the placeholder alone, so that no secret reaches the disk.

    Raises:
        KeyError: the variable is not set.
    """
    return {
        key: os.environ[value[1:]]
        if isinstance(value, str) and value.startswith("$" + SECRET_PREFIX)
        else value
        for key, value in env_args.items()
    }


def make(
    name: str, env_args: Mapping[str, Any] | None = None, frame_stack: int = 1
) -> gym.Env[Any, Any]:
    """One environment, its observations flat enough for a network.

    Args:
        name: a short name, a gymnasium id, or ``module:Id-v0``.
        env_args: keyword arguments of the environment's constructor.
        frame_stack: observations joined along their last axis, the newest last.
    """
    env = gym.make(gym_id(name), **reveal(env_args or {}))
    if isinstance(env.observation_space, gym.spaces.Discrete):
        env = gym.wrappers.FlattenObservation(env)  # one-hot: a network cannot read an index
    return JoinFrames(env, frame_stack) if frame_stack > 1 else env


def make_vec(
    name: str, num_envs: int, env_args: Mapping[str, Any] | None = None, frame_stack: int = 1
) -> VectorEnv:
    """``num_envs`` copies stepped together in this process.

    Gymnasium's own vectorised version is used where an environment has one and there are enough
    copies (CartPole: 12 times the steps per second at 64), else the copies are stepped one after
    the other. Cheap environments never go into subprocesses: talking to them costs more than
    stepping them.
    """
    env_id = gym_id(name)
    # Finding the spec also imports the module of a `module:Id`.
    spec = (
        gym.spec(env_id) if ":" not in env_id else gym.make(env_id, **reveal(env_args or {})).spec
    )
    has_own = spec is not None and spec.vector_entry_point is not None and frame_stack == 1
    if has_own and num_envs >= VECTORISED_FROM:
        return gym.make_vec(
            env_id,
            num_envs=num_envs,
            vectorization_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
            **reveal(env_args or {}),
        )
    return SyncVectorEnv(
        [lambda: make(name, env_args, frame_stack)] * num_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
