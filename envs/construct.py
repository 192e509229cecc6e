"""From a name to an environment as its author wrote it, with its family's wrappers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec as Registered
from rltune.envs import atari, box2d, classic_control, minigrid, mujoco, toy_text
from rltune.envs.spec import EnvSpec, Family, bare

FAMILIES: tuple[Family, ...] = tuple(
    module.FAMILY for module in (classic_control, box2d, toy_text, mujoco, atari, minigrid)
)
SPECS: dict[str, EnvSpec] = {spec.name: spec for each in FAMILIES for spec in each.listed}

#: Starts the name of an environment variable that holds an environment argument kept secret.
SECRET_PREFIX = "RLTUNE_SECRET_"


def gym_id(name: str) -> str:
    """The gymnasium id behind a short name; any other text is returned as it is."""
    return SPECS[name].id if name in SPECS else name


def family(env_id: str) -> Family | None:
    """The family of an id, listed or not; None for what belongs to none."""
    return next((each for each in FAMILIES if each.spec(bare(env_id))), None)


def known(env_id: str) -> EnvSpec | None:
    """What its family knows of an id; None for what belongs to none."""
    found = family(env_id)
    return found.spec(bare(env_id)) if found else None


def own_class(env_id: str) -> type[gym.Env[Any, Any]] | None:
    """The environment class that ``module:Class`` names; None for an id of gymnasium.

    Raises:
        ImportError: there is no such module.
    """
    module, _, name = env_id.rpartition(":")
    if not module:
        return None
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    is_one = isinstance(found, type) and issubclass(found, gym.Env)
    return found if is_one and name not in gym.registry else None


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


def construct(name: str, env_args: Mapping[str, Any] | None = None) -> gym.Env[Any, Any]:
    """One environment, its spaces as its author defined them.

    Args:
        name: a short name, a gymnasium id, ``module:Id-v0`` or ``module:Class``.
        env_args: keyword arguments of the environment's constructor, and ``max_episode_steps``.
    """
    env_id, kwargs = gym_id(name), reveal(env_args or {})
    found = family(env_id)
    return found.make(env_id, **kwargs) if found else _make_other(env_id, kwargs)


def _make_other(env_id: str, kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    own = own_class(env_id)
    return gym.make(env_id if own is None else Registered(own.__name__, own), **kwargs)
