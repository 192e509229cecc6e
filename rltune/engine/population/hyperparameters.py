"""The hyperparameters of every member, where updates read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class Hyperparameters:
    """One number a member and name, in one tensor that is written in one transfer.

    Args:
        names: of the hyperparameters.
        members: their number, M.

    Attributes:
        table: shape (names, M, 1).
        given: what was written, on the host, each of shape (M,).
    """

    def __init__(
        self,
        names: Sequence[str],
        members: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.names = tuple(names)
        self.table = torch.zeros(len(self.names), members, 1, device=device, dtype=dtype)
        self.given = dict(zip(self.names, np.zeros((len(self.names), members)), strict=True))
        self._rows: dict[str, torch.Tensor] = dict(zip(self.names, self.table, strict=True))

    def __getitem__(self, name: str) -> torch.Tensor:
        """What acts, shape (M, 1)."""
        return self._rows[name]

    def write(self, values: np.ndarray) -> None:
        """Sets all of them, from an array of shape (names, M)."""
        self.table.copy_(torch.from_numpy(values).unsqueeze(-1))
        self.given = dict(zip(self.names, values.copy(), strict=True))

    def read(self) -> np.ndarray:
        """What the device holds, shape (names, M)."""
        held: np.ndarray = self.table.squeeze(-1).double().cpu().numpy()
        return held
