"""Torch's global settings are ours, whatever an environment that uses torch sets for itself."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch


class TorchSettingsGuard:
    """Entered around calls of environments, with another guard inside.

    Threads, default dtype and gradients are as before when it is left. Threads that one trial's
    environment asks for would slow down every trial: more of them than cores wait for each other.
    An environment that seeds torch, in every reset with the same number perhaps, would have the
    policy explore in the same way in every episode: we go on from another seed then.
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
    """Draws from a seed that follows from the one before; the networks' devices too."""
    seed = int(np.random.SeedSequence(before % 2**64).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
