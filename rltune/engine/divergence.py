"""Detects rewards and observations that are not finite; a trial that meets one has diverged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from rltune.engine.rollout import Rollout


class Divergence(Exception):
    """A value is not finite. Raised in a training step, before buffer, weights or optimiser change.

    Args:
        what: ``reward``, ``observation``, ``action``, ``loss`` or ``gradient``.
        value: NaN or infinite.
        env_steps: environment step of the trial; None for the newest.
    """

    def __init__(self, what: str, value: float, env_steps: int | None = None) -> None:
        super().__init__(what, value, env_steps)
        self.what = what
        self.value = str(float(value))
        self.env_steps = env_steps

    def __str__(self) -> str:
        return f"{self.what} is {self.value}"

    def record(self, now: int) -> dict[str, Any]:
        """Returns a dict for JSON; ``now`` is the trial's newest step."""
        env_steps = now if self.env_steps is None else self.env_steps
        return {"env_steps": env_steps, "what": self.what, "value": self.value}


def check_rollouts(rollouts: Iterable[Rollout], env_steps: int) -> None:
    """Raises Divergence for a reward or an observation that is not finite.

    Args:
        env_steps: environment steps of the trial before these rollouts.
    """
    for rollout in rollouts:
        for what, values in (
            ("reward", rollout.rewards),
            ("observation", rollout.next_obs),
            ("observation", rollout.obs),
        ):
            if values.dtype.kind != "f" or (finite := np.isfinite(values)).all():
                continue
            row = int(np.argwhere(~finite)[0, 0])
            taken = int(rollout.valid[: row + 1].sum())
            raise Divergence(what, values[~finite][0], env_steps + taken)
