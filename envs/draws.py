"""Gives each copy of a vectorised environment random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

#: Vectorised environments that draw from ``np_random.uniform`` in a reset and nowhere else, and
#: reset copies whose ``prev_done`` is set. A copy is its ``state``, ``steps`` and ``prev_done``.
SEEDED = frozenset({"CartPole-v0", "CartPole-v1"})


class _Draws:
    """Stands in for a generator: the columns of what it draws are the copies in ``turn``."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self.turn = np.arange(len(seeds))

    def reseed(self, copies: Sequence[int], seeds: Sequence[int]) -> None:
        """Gives some copies new generators."""
        for copy, seed in zip(copies, seeds, strict=True):
            self._generators[copy] = np.random.default_rng(seed)

    def uniform(self, low: float, high: float, size: tuple[int, int]) -> np.ndarray:
        """Draws (n, copies) numbers, each column from its copy's own generator."""
        rows, copies = size
        if copies != len(self.turn):
            raise RuntimeError(f"{copies} copies were reset, {len(self.turn)} had to be")
        drawn = np.empty(size)
        for column, copy in enumerate(self.turn.tolist()):
            drawn[:, column] = self._generators[copy].uniform(low, high, rows)
        return drawn


class OwnDraws(VectorWrapper):  # type: ignore[misc]
    """A vectorised environment whose copies do not depend on each other's resets.

    Args:
        env: one of :data:`SEEDED`, with NEXT_STEP autoreset.

    Raises:
        ValueError: it restarts episodes in another way.
    """

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        if env.metadata["autoreset_mode"] != AutoresetMode.NEXT_STEP:
            raise ValueError(f"{env} does not restart episodes with the next step")
        self._over = np.zeros(env.num_envs, dtype=bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode in every copy; a single seed belongs to the first copy."""
        if seed is not None:
            seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
            self._draws = _Draws(seeds)
            self.env.unwrapped._np_random = self._draws
        self._draws.turn = np.arange(self.num_envs)
        self._over[:] = False
        found: tuple[np.ndarray, dict[str, Any]] = self.env.reset(options=options)
        return found

    def restart(self, copies: Sequence[int], seeds: Sequence[int] | None = None) -> None:
        """Begins new episodes in some copies with the next step, from own seeds if given."""
        if seeds is not None:
            self._draws.reseed(copies, seeds)
        self._over[list(copies)] = True
        self.env.unwrapped.prev_done[list(copies)] = True

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps every copy; resets those whose episode ended in the previous step."""
        self._draws.turn = np.flatnonzero(self._over)
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        self._over = terminated | truncated
        return obs, rewards, terminated, truncated, infos

    def rest(self, copies: Sequence[int]) -> None:
        """Steps all the same: one more in a vectorised step costs nothing."""

    def step_some(
        self, actions: np.ndarray, chosen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps copies that are ``chosen``, bool (N,), and leaves all others as they are."""
        env, others = self.env.unwrapped, ~chosen
        over, states = self._over.copy(), env.state.copy()
        steps, prev_done = env.steps.copy(), env.prev_done.copy()
        self._over[others] = env.prev_done[others] = False
        result = self.step(actions)
        env.state[:, others], env.steps[others] = states[:, others], steps[others]
        env.prev_done[others], self._over[others] = prev_done[others], over[others]
        return result
