"""Detects rewards, observations, losses and gradients that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

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


class Watch:
    """Checks the loss and the gradient norms of every update before it is applied.

    On a CPU, the numbers are checked at once. On a GPU, updates are not synchronised: the kernel of
    fused Adam skips a step if ``found_inf`` is 1, which it is from the first bad update on, and
    :meth:`check` reads it once per training step. Until then target networks may still move
    towards the weights, which do not change.

    Args:
        optimizers: optimisers of the learner; any that is not a fused Adam makes updates wait.
        waits: whether each update waits for its numbers; None to decide by device and optimisers.
    """

    def __init__(
        self,
        device: torch.device,
        optimizers: Sequence[torch.optim.Optimizer],
        waits: bool | None = None,
    ) -> None:
        fused = all(group.get("fused") for each in optimizers for group in each.param_groups)
        self.waits = (device.type == "cpu" or not fused) if waits is None else waits
        self._total = torch.zeros((), device=device)  # zero; NaN from the first bad update on
        self._found = torch.zeros((), device=device)
        self._seen: list[tuple[torch.Tensor, Sequence[torch.Tensor]]] = []
        if not self.waits:
            for optimizer in optimizers:
                optimizer.found_inf = self._found  # type: ignore[attr-defined]

    def look(self, loss: torch.Tensor, norms: Sequence[torch.Tensor]) -> None:
        """Checks an update before it is applied: its loss and the norms of its gradients, scalars.

        Raises:
            Divergence: one of them is not finite; on a GPU :meth:`check` raises it.
        """
        if self.waits:
            _check(loss, norms)
            return
        self._seen.append((loss, norms))
        for value in (loss, *norms):
            self._total.add_(value, alpha=0)  # zero times a value that is not finite is NaN
        torch.ne(self._total, self._total, out=self._found)

    def check(self) -> None:
        """Checks the updates of a training step after it.

        Raises:
            Divergence: an update was bad; it and all later ones were not applied.
        """
        seen, self._seen = self._seen, []
        if seen and self._found.item():
            for loss, norms in seen:
                _check(loss, norms)

    def clear(self) -> None:
        """Resets the check after weights were restored."""
        self._total.zero_()
        self._found.zero_()
        self._seen.clear()


def _check(loss: torch.Tensor, norms: Sequence[torch.Tensor]) -> None:
    value = loss.item()
    if not math.isfinite(value):
        raise Divergence("loss", value)
    for norm in norms:
        value = norm.item()
        if not math.isfinite(value):
            raise Divergence("gradient", value)
