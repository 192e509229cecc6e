"""What rltune knows of an environment beyond gymnasium's own registration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class EnvInfo:
    """One environment.

    Attributes:
        id: gymnasium's id, with a module to import first where it needs one (``module:Id-v0``), or
            the class of an own environment (``module:Class``).
        name: the short name on the command line; the id where there is none.
        family: the module of rltune.envs that lists it; "gymnasium" for any other.
        threshold: mean episode return from which it counts as solved; None where nobody names one.
        threshold_reason: why it is that, where the threshold is ours and not gymnasium's.
        max_episode_steps: the step at which an episode is truncated; None for not known.
        extra: the optional dependency group of rltune that installs it; None when none is needed.
        pixels: whether observations are pictures; None for not known before it is made.
        pooled: whether EnvPool steps it faster, with the same returns; scripts/bench_envpool.py
            measures both.
    """

    id: str
    name: str
    family: str = "gymnasium"
    threshold: float | None = None
    threshold_reason: str | None = None
    max_episode_steps: int | None = None
    extra: str | None = None
    pixels: bool | None = False
    pooled: bool = False


@dataclass(frozen=True)
class Family:
    """Environments that are installed and made in one way.

    Attributes:
        listed: its environments that have short names.
        make: makes one from its id and keyword arguments, with the wrappers of the family.
        prefix: what the ids of the family start with; those not listed belong to it too.
        module: what to import so that gymnasium knows those ids.
        others: what is known of an environment that is not listed.
    """

    listed: tuple[EnvInfo, ...]
    make: Callable[..., gym.Env[Any, Any]] = gym.make
    prefix: str | None = None
    module: str | None = None
    others: EnvInfo | None = None

    def spec(self, bare_id: str) -> EnvInfo | None:
        """The environment of an id without a module, where it is of this family."""
        for spec in self.listed:
            if bare(spec.id) == bare_id:
                return spec
        if self.others is None or self.prefix is None or not bare_id.startswith(self.prefix):
            return None
        return replace(self.others, id=f"{self.module}:{bare_id}", name=bare_id)


def bare(env_id: str) -> str:
    """An id without the module to import first."""
    return env_id.rpartition(":")[2]
