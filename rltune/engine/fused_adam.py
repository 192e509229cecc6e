"""Steps of torch's fused Adam, without its preparations at every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rltune.engine.torch_compiler import step_of


class FusedAdam:
    """Calls the kernel of a fused ``torch.optim.Adam`` on a CPU, with lists made once.

    Numbers and state are those of its own ``step``, which is called wherever something is not as
    usual: in the first step, with hooks, with a weight that has no gradient, where the kernel is to
    look for itself whether gradients are finite, on a GPU.
    """

    def __init__(self, optimizer: torch.optim.Adam) -> None:
        self._optimizer = optimizer
        self._plain: Callable[[], Any] = step_of(optimizer)
        self._params = [param for group in optimizer.param_groups for param in group["params"]]
        self._first: list[Any] = [None]

    @torch.no_grad()
    def __call__(self) -> None:
        """Applies the gradients."""
        gradients = [param.grad for param in self._params]
        if self._is_unusual() or any(gradient is None for gradient in gradients):
            self._plain()
            return
        if self._optimizer.state[self._params[0]]["exp_avg"] is not self._first[0]:
            self._collect()
        self._steps.add_(1)
        group = self._optimizer.param_groups[0]
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            self._params,
            gradients,
            self._first,
            self._second,
            [],
            self._each_step,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def _is_unusual(self) -> bool:
        """Whether its own ``step`` is needed."""
        optimizer = self._optimizer
        group, *more = optimizer.param_groups
        return bool(
            more
            or group["amsgrad"]
            or group["maximize"]
            or optimizer._optimizer_step_pre_hooks
            or optimizer._optimizer_step_post_hooks
            or getattr(optimizer, "found_inf", None) is not None
            or len(optimizer.state) < len(self._params)
            or not self._params[0].is_cpu
        )

    def _collect(self) -> None:
        """Makes the lists. The counts of steps become parts of one tensor."""
        states = [self._optimizer.state[param] for param in self._params]
        self._steps = torch.stack([state["step"] for state in states])
        self._each_step = list(self._steps.unbind())
        for state, step in zip(states, self._each_step, strict=True):
            state["step"] = step
        self._first = [state["exp_avg"] for state in states]
        self._second = [state["exp_avg_sq"] for state in states]


def fast_step_of(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """Returns what applies an optimiser's gradients with the least preparation."""
    if type(optimizer) is torch.optim.Adam and optimizer.param_groups[0].get("fused"):
        return FusedAdam(optimizer)
    return step_of(optimizer)
