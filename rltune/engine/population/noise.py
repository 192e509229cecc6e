"""Exploration noise of every member that is correlated over time."""

from __future__ import annotations

import torch

from rltune.engine.population.streams import Streams


class CorrelatedNoise:
    """Standard normal noise of actions, see
    :class:`rltune.engine.exploration_noise.CorrelatedNoise`.

    Args:
        shape: of one draw, (M, E, A).
    """

    def __init__(
        self, *shape: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self._last = torch.zeros(*shape, device=device, dtype=dtype)
        members, *one = shape
        self._drawn = torch.zeros(members, *(1 for _ in one), device=device, dtype=torch.bool)

    def draw(self, streams: Streams, rho: torch.Tensor) -> torch.Tensor:
        """The next noise, valid until the next call.

        Args:
            rho: correlation with the last draw in [0, 1), shape (M, 1).
        """
        fresh = streams.normal(*self._last.shape[1:], dtype=self._last.dtype)
        rho = rho.unsqueeze(-1) * self._drawn
        self._last.mul_(rho).add_(fresh * (1 - rho.square()).sqrt())
        self._drawn.fill_(True)
        return self._last

    def restart(self, member: int) -> None:
        """Makes a member's next draw independent of those before it."""
        self._drawn[member] = False

    @property
    def state(self) -> list[torch.Tensor]:
        """Every tensor that a draw changes."""
        return [self._last, self._drawn]
