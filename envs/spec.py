"""What rltune knows of an environment beyond gymnasium's own registration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EnvSpec:
    """One environment.

    Attributes:
        id: gymnasium's id, with a module to import first where it needs one (``module:Id-v0``).
        name: the short name on the command line; the id where there is none.
        family: the module of rltune.envs that lists it; "gymnasium" for any other id.
        threshold: mean episode return from which it counts as solved; None where nobody names one.
        threshold_reason: why it is that, where the threshold is ours and not gymnasium's.
        max_episode_steps: the step at which an episode is truncated; None for never.
        extra: the optional dependency group of rltune that installs it; None when none is needed.
    """

    id: str
    name: str
    family: str = "gymnasium"
    threshold: float | None = None
    threshold_reason: str | None = None
    max_episode_steps: int | None = None
    extra: str | None = None
