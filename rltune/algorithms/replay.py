"""A replay buffer on preallocated arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from rltune.algorithms.rollout import Rollout

_COLUMNS = ("obs", "next_obs", "actions", "rewards", "terminated")


class ReplayBuffer:
    """The last ``capacity`` transitions, sampled evenly.

    Memory is taken at the first :meth:`add`, when shapes are known: for CartPole 45 bytes a
    transition.
    """

    def __init__(self, capacity: int, seed: int | None = None) -> None:
        self.capacity = capacity
        self.rng = np.random.default_rng(seed)
        self._columns: dict[str, np.ndarray] = {}
        self._size = 0
        self._next = 0

    def __len__(self) -> int:
        return self._size

    def add(self, rollout: Rollout) -> None:
        """Takes a rollout's transitions; the oldest ones give way."""
        rows = {name: getattr(rollout, name)[rollout.valid] for name in _COLUMNS}
        self._add_rows(rows)

    def _add_rows(self, rows: dict[str, np.ndarray]) -> None:
        rows = {name: values[-self.capacity :] for name, values in rows.items()}
        count = len(rows["rewards"])
        at = (self._next + np.arange(count)) % self.capacity
        for name, values in rows.items():
            if name not in self._columns:
                self._columns[name] = np.zeros((self.capacity, *values.shape[1:]), values.dtype)
            self._columns[name][at] = values
        self._next = (self._next + count) % self.capacity
        self._size = min(self._size + count, self.capacity)

    def sample(self, batch_size: int) -> dict[str, torch.Tensor]:
        """``batch_size`` transitions, drawn evenly with replacement; float32 but for actions."""
        rows = self.rng.integers(self._size, size=batch_size)
        return {
            name: torch.from_numpy(
                values[rows] if name == "actions" else values[rows].astype(np.float32, copy=False)
            )
            for name, values in self._columns.items()
        }

    def save(self, path: Path) -> None:
        """Writes the transitions, oldest first, as ``.npz``: arrays alone, no pickle."""
        order = (self._next - self._size + np.arange(self._size)) % self.capacity
        columns: dict[str, Any] = {name: values[order] for name, values in self._columns.items()}
        np.savez(path, **columns)

    def load(self, path: Path) -> None:
        """Replaces what is held by what :meth:`save` wrote."""
        self._columns, self._size, self._next = {}, 0, 0
        with np.load(path, allow_pickle=False) as saved:
            if saved.files:
                self._add_rows({name: saved[name] for name in saved.files})
