"""The settings of a trial in a group: where they come from, and where they act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rltune.algorithms.audit import Reading, requested_settings


class MemberConfig:
    """A validated config with the settings of one member in place of its own.

    Args:
        base: RLlib's config.
        values: the member's.
    """

    def __init__(self, base: Any, values: Mapping[str, Any]) -> None:
        self._base = base
        self.values = values

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__["values"]
        return values[name] if name in values else getattr(self.__dict__["_base"], name)

    def requested(self, algo: str) -> dict[str, Any]:
        """Every setting as it was asked for."""
        return requested_settings(algo, {**vars(self._base), **self.values})

    def readings(
        self, algo: str, held: Mapping[str, float], common: Mapping[str, Any]
    ) -> list[Reading]:
        """Every setting, and beside it what the batch holds of it.

        Args:
            held: the member's hyperparameters, read back from the batch's tensors.
            common: settings that all members have in common, read from the batch.
        """
        asked = self.requested(algo)
        found = [Reading(name, "trial's config", value) for name, value in asked.items()]
        found += [Reading(name, "batch", value) for name, value in common.items()]
        for name, value in held.items():
            if name in asked:
                found.append(Reading(name, "batch", _read_back(asked[name], value)))
        return found


def _read_back(asked: Any, held: float) -> float:
    """What a batch holds of a setting: what was asked for where single precision tells no other."""
    same = isinstance(asked, int | float) and np.float32(asked) == np.float32(held)
    return asked if same else float(held)
