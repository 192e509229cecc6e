"""Stands in for RLlib's logger of metrics, which costs as much as an update."""

from __future__ import annotations

from typing import Any

import torch


class LastMetrics:
    """Stands in for a learner's MetricsLogger: keeps the last value of each key.

    RLlib's logger reduces statistics at every update, which costs as much as the update. Values
    stay tensors until they are read, once an iteration.
    """

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def log_value(self, key: Any, value: Any, **_: Any) -> None:
        """Keeps a value. The signature is RLlib's; how to reduce is ignored."""
        self._values[_path(key)] = value

    def log_dict(self, values: dict[str, Any], *, key: Any = None, **_: Any) -> None:
        """Keeps each value of a dict under its key."""
        prefix: tuple[Any, ...] = () if key is None else _path(key)
        for name, value in values.items():
            self.log_value((*prefix, *_path(name)), value)

    def __contains__(self, key: Any) -> bool:
        return key in self._values

    def peek(self, key: Any) -> Any:
        """The last value of a key."""
        return self._values[key]

    def scalars(self) -> dict[str, Any]:
        """Every single number among the last values, nested by their keys.

        A device is waited for once, however many there are.
        """
        numbers: dict[Any, float] = {}
        tensors: dict[Any, torch.Tensor] = {}
        for key, value in self._values.items():
            if not isinstance(value, torch.Tensor):
                numbers[key] = float(value)
            elif value.numel() == 1:
                tensors[key] = value.detach().reshape(()).float()
        numbers |= zip(tensors, _read(list(tensors.values())), strict=True)
        found: dict[str, Any] = {}
        for (*groups, name), number in numbers.items():
            place = found
            for group in groups:
                place = place.setdefault(group, {})
            place[name] = number
        return found

    def get_state(self) -> dict[str, Any]:
        """Empty: nothing here outlives an iteration."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Ignores RLlib's state, for the same reason."""


def _path(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _read(scalars: list[torch.Tensor]) -> list[float]:
    """The numbers in scalar tensors, fetched from their device in one copy."""
    if not scalars:
        return []
    device = max((scalar.device for scalar in scalars), key=lambda each: each.type != "cpu")
    numbers: list[float] = torch.stack([scalar.to(device) for scalar in scalars]).tolist()
    return numbers
