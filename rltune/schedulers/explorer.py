"""The contract of what sets PBT and PB2 apart: how a clone's settings are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Explorer(Protocol):
    """Chooses new settings for a member that takes a donor's weights.

    A population scheduler is an explorer handed to
    :class:`rltune.schedulers.population.Population`, which answers every other question. It gets
    the mutable part of the search space and a seed, draws from a generator of its own, and returns
    settings that lie in the space, keep its constraints and differ from the donor's.
    """

    def observe(self, member: str, env_steps: int, score: float, values: Mapping[str, Any]) -> None:
        """The end of a member's interval: its return, and the settings it ran at."""

    def explore(
        self, member: str, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> dict[str, Any]:
        """New values of the mutable settings.

        Args:
            env_steps: the member's own clock.
            score: the return of the donor.
            donor: its whole configuration.
        """

    def get_state(self) -> dict[str, Any]:
        """Everything that later choices depend on, as JSON holds it."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues exactly where :meth:`get_state` was called."""
