"""A reward, observation, loss or gradient that is no finite number ends a member's training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from rltune.engine.rollout import Rollout


class Divergence(Exception):
    """Raised inside a training step, before what it found reaches buffer, weights or optimiser.

    Args:
        what: ``reward``, ``observation``, ``action``, ``loss`` or ``gradient``.
        value: what it is: not a number, or infinite.
        env_steps: the trial's step it was met at; None for the newest.
    """

    def __init__(self, what: str, value: float, env_steps: int | None = None) -> None:
        super().__init__(what, value, env_steps)
        self.what = what
        self.value = str(float(value))
        self.env_steps = env_steps

    def __str__(self) -> str:
        return f"{self.what} is {self.value}"

    def record(self, now: int) -> dict[str, Any]:
        """As JSON holds it; ``now`` is the trial's newest step."""
        env_steps = now if self.env_steps is None else self.env_steps
        return {"env_steps": env_steps, "what": self.what, "value": self.value}


def check_rollouts(rollouts: Iterable[Rollout], env_steps: int) -> None:
    """Raises Divergence for a reward or an observation that is not finite.

    Args:
        env_steps: the trial's clock before these rollouts.
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
    """Looks at the loss and the gradients' norm of every update, before it is applied.

    On a CPU the numbers are there to be read. A GPU is not waited for: the kernel of fused Adam
    skips a step where ``found_inf`` is 1, which it is from the first bad update on, and
    :meth:`check` reads that once a training step. Until then target networks may move on towards
    the weights, which stay as they are.

    Args:
        optimizers: of the learner; those that are not a fused Adam make every update wait.
        waits: whether each update waits for its numbers; None to choose.
    """

    def __init__(
        self,
        device: torch.device,
        optimizers: Sequence[torch.optim.Optimizer],
        waits: bool | None = None,
    ) -> None:
        fused = all(group.get("fused") for each in optimizers for group in each.param_groups)
        self.waits = (device.type == "cpu" or not fused) if waits is None else waits
        self._total = torch.zeros((), device=device)  # zero, or not a number from then on
        self._found = torch.zeros((), device=device)
        self._seen: list[tuple[torch.Tensor, Sequence[torch.Tensor]]] = []
        if not self.waits:
            for optimizer in optimizers:
                optimizer.found_inf = self._found  # type: ignore[attr-defined]

    def look(self, loss: torch.Tensor, norms: Sequence[torch.Tensor]) -> None:
        """Before an update: its loss and the norms of its gradients, each a single number.

        Raises:
            Divergence: one is not finite; on a GPU :meth:`check` raises it.
        """
        if self.waits:
            _check(loss, norms)
            return
        self._seen.append((loss, norms))
        for value in (loss, *norms):
            self._total.add_(value, alpha=0)  # what is not finite is not a number times zero
        torch.ne(self._total, self._total, out=self._found)

    def check(self) -> None:
        """After the updates of a training step.

        Raises:
            Divergence: one of them was not applied, nor any since.
        """
        seen, self._seen = self._seen, []
        if seen and self._found.item():
            for loss, norms in seen:
                _check(loss, norms)

    def clear(self) -> None:
        """Starts anew, on restored weights."""
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
