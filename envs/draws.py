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
        autoreset: that, or SAME_STEP; the last observations are then in ``infos["final_obs"]``.

    Raises:
        ValueError: it restarts episodes in another way.
    """

    def __init__(self, env: VectorEnv, autoreset: AutoresetMode = AutoresetMode.NEXT_STEP) -> None:
        super().__init__(env)
        if env.metadata["autoreset_mode"] != AutoresetMode.NEXT_STEP:
            raise ValueError(f"{env} does not restart episodes with the next step")
        self.metadata = {**env.metadata, "autoreset_mode": autoreset}
        self._at_once = autoreset == AutoresetMode.SAME_STEP
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

    def restart(self, copies: Sequence[int], seeds: Sequence[int] | None = None) -> np.ndarray:
        """Begins new episodes in some copies, from seeds of their own if given.

        Returns:
            The observations of all copies.
        """
        if seeds is not None:
            self._draws.reseed(copies, seeds)
        return self._begin(np.asarray(copies, dtype=int))

    def _begin(self, copies: np.ndarray) -> np.ndarray:
        env = self.env.unwrapped
        self._draws.turn = copies
        env.state[:, copies] = self._draws.uniform(env.low, env.high, (4, len(copies)))
        env.steps[copies] = 0
        self._over[copies] = env.prev_done[copies] = False
        obs: np.ndarray = env.state.T.astype(np.float32)
        return obs

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps every copy; resets those whose episode ended, now or in the previous step."""
        return self._step(actions, np.ones(self.num_envs, dtype=bool))

    def _step(
        self, actions: np.ndarray, chosen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self._draws.turn = np.flatnonzero(self._over)
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        self._over = terminated | truncated
        ended = np.flatnonzero(self._over & chosen)
        if self._at_once and len(ended):
            infos = {"final_obs": obs, "final_info": {}}
            obs = self._begin(ended)
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
        result = self._step(actions, chosen)
        env.state[:, others], env.steps[others] = states[:, others], steps[others]
        env.prev_done[others], self._over[others] = prev_done[others], over[others]
        return result
