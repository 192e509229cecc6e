"""The environments of a run that has several, and the scale on which their scores are averaged."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rltune.errors import BadInput
from rltune.schema import NullableFloat, Omitted, Record

#: Name of the task of such a run, and the key of what a trial's config holds beside its settings.
SEVERAL = "several"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class RandomScore(Record):
    """What a random policy reaches in an environment, see :mod:`rltune.request.random_scores`.

    Attributes:
        mean: of the undiscounted returns.
        ci95: 95 % bootstrap interval of the mean, [low, high].
        episodes: whole ones, each on its own seed.
    """

    mean: float
    ci95: tuple[NullableFloat, NullableFloat]
    episodes: int


@dataclass(frozen=True, kw_only=True)
class Environment(Record):
    """One of several environments that a setting is judged in.

    Attributes:
        name: by which metrics, folders of checkpoints and options call it: letters, digits, "_"
            and "-".
        env, env_id: its short name and its id, as :class:`rltune.spec.RunSpec` has them.
        env_args, simulator, env_processes: how it is made and stepped, see
            :class:`rltune.options.EnvOptions`.
        random: 0 of the normalised scale.
        threshold: the return that is 1 of it.

    Raises:
        BadInput: the name is none, or the threshold is not above the random score.
    """

    name: str
    env: str
    env_id: str
    env_args: Mapping[str, Any] = field(default_factory=dict)
    simulator: str = "gymnasium"
    env_processes: Omitted[int | None] = None
    random: RandomScore
    threshold: float

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadInput(f"environment {self.name!r}: no folder of a checkpoint has such a name")
        scale = self.threshold - self.random.mean
        if not (math.isfinite(scale) and scale > 0):
            raise BadInput(
                f"environment {self.name}: its threshold {self.threshold:g} is not above what a "
                f"random policy reaches, {self.random.mean:g}"
            )

    def normalized(self, score: float) -> float:
        """A return on the scale from a random policy, 0, to the threshold, 1.

        It is not clipped: a policy that does harm is below 0, and one that passes the threshold
        above 1, so that no two policies of different returns are level.
        """
        return (score - self.random.mean) / (self.threshold - self.random.mean)
