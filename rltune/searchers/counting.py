"""Searchers whose suggestions depend on their number alone, and not on results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from rltune.spec import RunSpec


class CountingSearcher(ABC):
    """Its whole state is how many trials it has handed out."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self._count = 0

    @abstractmethod
    def at(self, index: int) -> dict[str, Any]:
        """The searched settings of a trial, a function of seed and number."""

    def suggest(self) -> dict[str, Any]:
        """The next one."""
        self._count += 1
        return self.at(self._count - 1)

    def completed(self, values: Mapping[str, Any], score: float | None) -> None:
        """Nothing is learned from results."""
        return

    def get_state(self) -> dict[str, Any]:
        """How many were handed out."""
        return {"count": self._count}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues after the last number."""
        self._count = state["count"]
