"""Keeps torch's global settings from environments that use torch themselves."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch


class TorchSettingsGuard:
    """Context around calls of environments, with another guard inside.

    On exit it restores threads, default dtype and gradients: more threads than cores, set by the
    environment of one trial, would slow down every trial. An environment that seeds torch, perhaps
    with the same number in every reset, would make the policy explore in the same way in every
    episode: torch is then seeded with another number.
    """

    def __init__(self, guard: AbstractContextManager[Any]) -> None:
        self._guard = guard

    def __enter__(self) -> None:
        self._threads, self._dtype = torch.get_num_threads(), torch.get_default_dtype()
        self._grad, self._seed = torch.is_grad_enabled(), torch.initial_seed()
        self._guard.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        swallowed = self._guard.__exit__(*raised)
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        if torch.get_default_dtype() != self._dtype:
            torch.set_default_dtype(self._dtype)
        if torch.is_grad_enabled() != self._grad:
            torch.set_grad_enabled(self._grad)
        if torch.initial_seed() != self._seed:
            _reseed(self._seed)
        return swallowed


def _reseed(before: int) -> None:
    """Seeds torch, on every device, with a seed derived from the previous one."""
    seed = int(np.random.SeedSequence(before % 2**64).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
