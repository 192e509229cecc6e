"""Environments: short names for gymnasium ids, and the one way an environment is made.

A family is one module here with a ``FAMILY``; adding one is a new module and a row in
``FAMILIES`` (construct.py). A family's package is imported when one of its environments is made and
not before. Everything that trains or evaluates makes its environments with :func:`make` and
:func:`make_vec`, in the driver and in Ray workers alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from rltune.envs import pool
from rltune.envs.construct import (
    FAMILIES,
    SECRET_PREFIX,
    SPECS,
    construct,
    family,
    gym_id,
    known,
    own_class,
    reveal,
)
from rltune.envs.frames import JoinFrames
from rltune.envs.spec import EnvSpec, bare

__all__ = [
    "FAMILIES",
    "MAX_EPISODE_STEPS",
    "SECRET_PREFIX",
    "SPECS",
    "EnvSpec",
    "JoinFrames",
    "bare",
    "construct",
    "family",
    "gym_id",
    "known",
    "make",
    "make_vec",
    "own_class",
    "reveal",
]

#: Copies from which an environment's own vectorised version is faster (CartPole, measured: one
#: step of it costs as much as four single ones).
VECTORISED_FROM = 4

#: Steps after which an episode is cut off where the environment itself names no limit, so that a
#: policy that never ends one is scored all the same. ``max_episode_steps`` of the environment's
#: arguments sets another.
MAX_EPISODE_STEPS = 10_000


def make(
    name: str, env_args: Mapping[str, Any] | None = None, frame_stack: int = 1
) -> gym.Env[Any, Any]:
    """One environment, with its family's wrappers, in a form that a network can read.

    Observations that are numbers of kinds (Discrete, MultiDiscrete, MultiBinary) become vectors
    of zeros and ones, tables become vectors; vectors and pictures stay.

    Args:
        name: a short name, a gymnasium id, ``module:Id-v0`` or ``module:Class``.
        env_args: keyword arguments of the environment's constructor, and ``max_episode_steps``.
        frame_stack: observations joined along their last axis, the newest last.
    """
    env = construct(name, env_args)
    if env.spec is not None and env.spec.max_episode_steps is None:
        env = gym.wrappers.TimeLimit(env, MAX_EPISODE_STEPS)
    if not _is_readable(env.observation_space):
        env = gym.wrappers.FlattenObservation(env)
    return JoinFrames(env, frame_stack) if frame_stack > 1 else env


def _is_readable(space: gym.Space[Any]) -> bool:
    """Whether a network reads a space as it is, or nothing here can help it to."""
    if isinstance(space, gym.spaces.Box):
        return len(space.shape) in (1, 3)
    flat = (gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)
    return not isinstance(space, flat)


def make_vec(
    name: str,
    num_envs: int,
    env_args: Mapping[str, Any] | None = None,
    frame_stack: int = 1,
    simulator: str = "gymnasium",
) -> VectorEnv:
    """``num_envs`` copies stepped together in this process.

    Gymnasium's own vectorised version is used where an environment has one and there are enough
    copies (CartPole: 12 times the steps per second at 64), else the copies are stepped one after
    the other. Cheap environments never go into subprocesses: talking to them costs more than
    stepping them.

    Args:
        simulator: "gymnasium", or "envpool" where :func:`rltune.envs.pool.problem` sees none.
    """
    if simulator == "envpool":
        return pool.Pooled(gym_id(name), num_envs, make(name, env_args))
    if frame_stack == 1 and num_envs >= VECTORISED_FROM and _has_vectorised(gym_id(name)):
        return gym.make_vec(
            gym_id(name),
            num_envs=num_envs,
            vectorization_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
            **reveal(env_args or {}),
        )
    return SyncVectorEnv(
        [lambda: make(name, env_args, frame_stack)] * num_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )


def _has_vectorised(env_id: str) -> bool:
    """Whether an environment has a vectorised version that is the same as one made here."""
    module, _, name = env_id.rpartition(":")
    if module:
        import_module(module)
    found, spec = family(env_id), gym.registry.get(name)
    if spec is None or spec.vector_entry_point is None or spec.max_episode_steps is None:
        return False
    return found is None or found.make is gym.make
