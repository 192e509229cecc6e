"""RLlib algorithms as rltune runs them: ``PPO`` and ``DQN``.

Drop-in subclasses of RLlib's own, for ``rltune.sweep`` and for a user's ``ray.tune.Tuner``: the
same config keys, networks and losses, on arrays instead of episode objects, with an in-place
reset, so that ``reuse_actors=True`` works and an exploit costs milliseconds. This package alone
imports ``ray.rllib``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rltune.algorithms.dqn import DQN as DQN
    from rltune.algorithms.ppo import PPO as PPO

__all__ = ["DQN", "PPO"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rltune.algorithms' has no attribute {name!r}")
    return getattr(import_module(f"rltune.algorithms.{name.lower()}"), name)
