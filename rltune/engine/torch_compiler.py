"""Uses torch without importing its compiler.

rltune compiles nothing, but torch imports its compiler to exclude optimisers from compilation and
to make compiled code deterministic. The import costs time and memory in every trial's process. If a
later version of torch changes these internals, only the import returns.
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
    """A context or decorator in which building, saving and seeding do not import the compiler."""
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None:  # wrapped by torch._compile
            vars(plain).setdefault("__dynamo_disable", plain)
    whole = torch.use_deterministic_algorithms  # sets it for compiled code as well
    if "torch._inductor" not in sys.modules:
        torch.use_deterministic_algorithms = torch._C._set_deterministic_algorithms
    try:
        yield
    finally:
        torch.use_deterministic_algorithms = whole


def step_of(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """Returns an optimiser's ``step`` with its hooks, without the wrapper for the compiler."""
    hooked = optimizer.profile_hook_step(inspect.unwrap(type(optimizer).step))
    return torch.no_grad()(partial(hooked, optimizer))
