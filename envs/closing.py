"""Closes environments, also those whose ``close`` raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.vector import SyncVectorEnv, VectorEnv

from rltune.errors import described, warn_once


def close(env: gym.Env[Any, Any] | VectorEnv) -> None:
    """Closes an environment, or each copy of a vectorised one.

    Logs an exception of ``close`` once and ignores it: the environment is no longer needed.
    """
    if not isinstance(env, SyncVectorEnv):
        _close(env)
    elif not env.closed:
        for copy in env.envs:
            _close(copy)
        env.closed = True


def _close(env: gym.Env[Any, Any] | VectorEnv) -> None:
    try:
        env.close()
    except (Exception, SystemExit) as error:
        name = env.spec.id if env.spec else type(env.unwrapped).__name__
        warn_once(f"environment {name}: close() raised {described(error)}; it makes no difference")


def make_all(make: Callable[[], gym.Env[Any, Any]], count: int) -> list[gym.Env[Any, Any]]:
    """Makes several copies of an environment; if one raises, closes the others and re-raises."""
    copies: list[gym.Env[Any, Any]] = []
    try:
        while len(copies) < count:
            copies.append(make())
    except BaseException:
        for copy in copies:
            close(copy)
        raise
    return copies
