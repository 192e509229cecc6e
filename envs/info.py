"""What rltune knows about an environment beyond gymnasium's registration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class EnvInfo:
    """One environment.

    Attributes:
        id: gymnasium's id, with the module to import if it needs one (``module:Id-v0``), or the
            class of a user's environment (``module:Class``).
        name: short name on the command line; the id if there is none.
        family: module of rltune.envs that lists it; "gymnasium" for any other.
        threshold: mean episode return from which it counts as solved; None if undefined.
        threshold_reason: reason for a threshold that is rltune's and not gymnasium's.
        max_episode_steps: step at which an episode is truncated; None if unknown.
        extra: optional dependency group of rltune that installs it; None if none is needed.
        images: whether observations are images; None for not known before it is made.
        pooled: whether EnvPool steps it faster with the same returns, as measured by
            scripts/bench_envpool.py.
    """

    id: str
    name: str
    family: str = "gymnasium"
    threshold: float | None = None
    threshold_reason: str | None = None
    max_episode_steps: int | None = None
    extra: str | None = None
    images: bool | None = False
    pooled: bool = False


@dataclass(frozen=True)
class Family:
    """Environments that are installed and made in the same way.

    Attributes:
        listed: environments with short names.
        make: makes one from its id and keyword arguments, with the family's wrappers.
        prefix: prefix of the family's ids, including ids that are not listed.
        module: module that registers the ids with gymnasium.
        others: information on environments that are not listed.
    """

    listed: tuple[EnvInfo, ...]
    make: Callable[..., gym.Env[Any, Any]] = gym.make
    prefix: str | None = None
    module: str | None = None
    others: EnvInfo | None = None

    def spec(self, bare_id: str) -> EnvInfo | None:
        """Returns the environment of an id without a module; None if it is of another family."""
        for spec in self.listed:
            if bare(spec.id) == bare_id:
                return spec
        if self.others is None or self.prefix is None or not bare_id.startswith(self.prefix):
            return None
        return replace(self.others, id=f"{self.module}:{bare_id}", name=bare_id)


def bare(env_id: str) -> str:
    """Removes the module from an id."""
    return env_id.rpartition(":")[2]
