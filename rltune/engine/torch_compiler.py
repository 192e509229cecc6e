"""Torch without its compiler.

Nothing is compiled here, and torch imports its compiler all the same: to say that optimisers are
not to be compiled, and that what is must be deterministic. That is time and memory in every trial's
process. Where a later torch does things otherwise, the import is back, and nothing else.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch


@contextmanager
def without_compiler() -> Iterator[None]:
    """A time, or with ``@`` a function, in which building, saving and seeding do not import it."""
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None:  # the mark of what the compiler has been told of (torch._compile)
            vars(plain).setdefault("__dynamo_disable", plain)
    whole = torch.use_deterministic_algorithms  # of what is compiled and what is not
    if "torch._inductor" not in sys.modules:
        torch.use_deterministic_algorithms = torch._C._set_deterministic_algorithms
    try:
        yield
    finally:
        torch.use_deterministic_algorithms = whole


def step_of(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """Its ``step``, hooks and all, without the layer around it that speaks to the compiler."""
    hooked = optimizer.profile_hook_step(inspect.unwrap(type(optimizer).step))
    return torch.no_grad()(partial(hooked, optimizer))
