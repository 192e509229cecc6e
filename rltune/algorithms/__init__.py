"""RLlib algorithms as rltune runs them: ``PPO``, ``DQN`` and ``SAC``.

Drop-in subclasses of RLlib's own, for ``rltune.sweep`` and for a user's ``ray.tune.Tuner``: the
same config keys, networks and losses, on arrays instead of episode objects, with an in-place
reset, so that ``reuse_actors=True`` works and an exploit costs milliseconds. This package alone
imports ``ray.rllib``.

One folder an algorithm, named after its row in :mod:`rltune.catalog.algorithms`; what it has to
contain is the contract of :class:`rltune.algorithms.rl_trainable.RLTrainable`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rltune import envs
from rltune.catalog.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from rltune.algorithms.dqn import DQN as DQN
    from rltune.algorithms.ppo import PPO as PPO
    from rltune.algorithms.sac import SAC as SAC

__all__ = ["DQN", "PPO", "SAC", "register_envs"]


def register_envs() -> None:
    """Lets RLlib's own algorithms use rltune's short names, in this Ray session.

    rltune's algorithms know the names, and any gymnasium id, in every process by themselves.
    """
    register_env = import_module("ray.tune").register_env
    for name in envs.INFOS:
        register_env(name, lambda context, name=name: envs.make(name, dict(context)))


def __getattr__(name: str) -> Any:
    for algorithm in ALGORITHMS.values():
        if algorithm.class_name == name:
            return getattr(import_module(f"rltune.algorithms.{algorithm.name}"), name)
    raise AttributeError(f"module 'rltune.algorithms' has no attribute {name!r}")
