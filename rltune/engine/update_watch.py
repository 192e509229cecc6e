"""Detects losses and gradients that are not finite, before an update is applied."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from rltune.engine.divergence import Divergence


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
