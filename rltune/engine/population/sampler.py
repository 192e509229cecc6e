"""Steps the environments of all members together, and counts each member's episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from rltune.engine.divergence import Divergence
from rltune.engine.episodes import Episode, final_infos, numbers
from rltune.engine.rollout import MAX_RESTARTS, Finished
from rltune.errors import described


class Sampler:
    """``M`` members times ``E`` copies of an environment.

    Args:
        env: of M * E copies, member by member, see :func:`rltune.envs.make_batch`.
        seeds: of each member; its copies get that and the numbers after it.
        guard: a context around every call of the environments.

    Attributes:
        obs: newest observations, shape (M, E, ...).
        within_step: whether a new episode begins in the step that ends one (SAME_STEP autoreset),
            or in one of its own (NEXT_STEP).
        last_obs: the last observations of episodes that ended in the newest step, where new ones
            began in it; others are those of ``obs``. None where none ended.
        env_steps: steps taken by each member's copies, without those that a reset took or that
            raised, shape (M,).
        diverged: by member, the first reward or observation that was not finite.
        failed: by member, what its environments raise again and again.
    """

    def __init__(self, env: Any, seeds: Sequence[int], guard: AbstractContextManager[Any]) -> None:
        self.within_step = env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
        self.last_obs: np.ndarray | None = None
        self.env = env
        self._guard = guard
        members = len(seeds)
        self._shape = (members, env.num_envs // members)
        self.env_steps = np.zeros(members, dtype=np.int64)
        self.diverged: dict[int, Divergence] = {}
        self.failed: dict[int, Exception] = {}
        self._restarts = np.zeros(members, dtype=np.int64)
        self._events: list[list[dict[str, Any]]] = [[] for _ in seeds]
        self._clock = 0
        self._episodes: list[list[Episode]] = [[] for _ in seeds]
        self._reset(seeds)

    def _reset(self, seeds: Sequence[int]) -> None:
        copies = self._shape[1]
        with self._guard:
            obs, _ = self.env.reset(seed=[seed + i for seed in seeds for i in range(copies)])
        self._keep(obs)
        self._fresh = np.zeros(self.env.num_envs, dtype=bool)  # the next step is spent on a reset
        self._returns = np.zeros(self.env.num_envs)
        self._lengths = np.zeros(self.env.num_envs, dtype=np.int64)

    def _keep(self, obs: np.ndarray) -> None:
        self.obs = obs.reshape(*self._shape, *obs.shape[1:])

    def step(self, actions: np.ndarray, outcomes: np.ndarray) -> None:
        """One step of every copy.

        Args:
            actions: shape (M, E, ...).
            outcomes: is given rewards, and whether the task ended, the episode ended and the row is
                experience, shape (4, M, E).
        """
        actions = actions.reshape(-1, *actions.shape[2:])
        if actions.dtype.kind == "f" and not np.isfinite(actions).all():
            self._blame("action", actions)
            actions = np.nan_to_num(actions, posinf=0.0, neginf=0.0)
        with self._guard:
            obs, rewards, terminated, truncated, infos = self.env.step(actions)
        done = terminated | truncated
        counted = ~self._fresh
        counted[[copy for copy in self._failures if not done[copy]]] = False
        self._keep(obs)
        for place, values in zip(outcomes, (rewards, terminated, done, counted), strict=True):
            place[:] = np.asarray(values).reshape(self._shape)
        self._check(rewards, obs)
        self._keep_last(obs, done, infos)
        self.env_steps += counted.reshape(self._shape).sum(1)
        self._clock += 1
        self._returns += rewards
        self._lengths += counted
        if done.any():
            self._end(done, infos)
        self._fresh = np.zeros_like(done) if self.within_step else done
        self._fail()

    def _keep_last(self, obs: np.ndarray, done: np.ndarray, infos: dict[str, Any]) -> None:
        self.last_obs = None
        if self.within_step and done.any():
            last = obs.copy()
            for copy in np.flatnonzero(done):
                last[copy] = infos["final_obs"][copy]
            self._check_obs(last)
            self.last_obs = last.reshape(*self._shape, *obs.shape[1:])

    @property
    def _failures(self) -> dict[int, Exception]:
        """What copies raised in the last call of the environments, by their number."""
        found: dict[int, Exception] = getattr(self.env, "failures", {})
        return found

    def _fail(self) -> None:
        """Discards the episodes of copies that raised; their next step is spent on a reset."""
        members: dict[int, Exception] = {}
        for copy, error in self._failures.items():
            member = copy // self._shape[1]
            clock = int(self.env_steps[member])
            event = {"kind": "env_restart", "env_steps": clock, "error": described(error)}
            self._events[member].append(event)
            self._returns[copy], self._lengths[copy], self._fresh[copy] = 0.0, 0, True
            members.setdefault(member, error)
        for member, error in members.items():
            self._restarts[member] += 1
            if self._restarts[member] > MAX_RESTARTS and member not in self.failed:
                self.failed[member] = error
                self.rest(member)

    def rest(self, member: int) -> None:
        """Steps a member's environments no more, until it is restarted."""
        copies = self._shape[1]
        self.env.rest(range(member * copies, (member + 1) * copies))

    def take_events(self, member: int) -> list[dict[str, Any]]:
        """What happened to a member's environments since the last call."""
        taken, self._events[member] = self._events[member], []
        return taken

    def restart(self, member: int, seed: int, env_steps: int = 0) -> None:
        """Begins new episodes in a member's copies.

        Args:
            env_steps: the member's clock from here.
        """
        copies = self._shape[1]
        own = range(member * copies, (member + 1) * copies)
        self._episodes[member] = []
        self.env_steps[member] = env_steps
        self.diverged.pop(member, None)
        self.failed.pop(member, None)
        self._restarts[member] = 0
        self._events[member] = []
        self._begin(own, [seed + i for i in range(copies)])

    def finish(
        self, members: Sequence[int], play: Callable[[np.ndarray], np.ndarray]
    ) -> dict[int, Finished]:
        """Plays the running episodes of some members to their end; nobody learns from that.

        Their copies begin new episodes. All other members stay as they are.

        Args:
            play: chooses actions (M, E, ...) for observations (M, E, ...).
        """
        copies = self._shape[1]
        own = np.zeros(self._shape, dtype=bool)
        own[list(members)] = True
        own = own.ravel()
        waiting = own & (self._lengths > 0)
        found = {member: Finished([], 0, []) for member in members}
        while waiting.any():
            actions = play(self.obs)
            actions = np.nan_to_num(actions.reshape(-1, *actions.shape[2:]))
            with self._guard:
                obs, rewards, terminated, truncated, infos = self.env.step_some(actions, waiting)
            flat = self.obs.reshape(-1, *self.obs.shape[2:]).copy()
            flat[waiting] = obs[waiting]
            self._keep(flat)
            self._returns[waiting] += rewards[waiting]
            self._lengths[waiting] += 1
            for copy in np.flatnonzero(waiting).tolist():
                found[copy // copies].env_steps += 1
            done = (terminated | truncated) & waiting
            for copy, info in zip(
                np.flatnonzero(done).tolist(), self._last_infos(infos, done), strict=True
            ):
                length = int(self._lengths[copy])
                episode = Episode(float(self._returns[copy]), length, info, self._clock - length)
                found[copy // copies].episodes.append(episode)
            waiting &= ~done
            waiting[list(self._failures)] = False
            self._fail()
        self._begin(np.flatnonzero(own).tolist())
        return found

    def _begin(self, copies: Sequence[int], seeds: Sequence[int] | None = None) -> None:
        """Begins new episodes in some copies."""
        with self._guard:
            self._keep(self.env.restart(copies, seeds))
        self._fresh[list(copies)] = False
        self._returns[list(copies)] = 0.0
        self._lengths[list(copies)] = 0
        self._fail()

    @staticmethod
    def _last_infos(infos: dict[str, Any], done: np.ndarray) -> list[Mapping[str, float]]:
        """Numbers in the last ``info`` of each copy whose episode has ended."""
        if not infos:
            return [{}] * int(done.sum())
        return [numbers(info) for info in final_infos(infos, done)]

    def _end(self, done: np.ndarray, infos: dict[str, Any]) -> None:
        """Counts the episodes that ended in this step."""
        ended = np.flatnonzero(done)
        self._restarts[ended // self._shape[1]] = 0
        for copy, info in zip(ended.tolist(), self._last_infos(infos, done), strict=True):
            length = int(self._lengths[copy])
            episode = Episode(float(self._returns[copy]), length, info, self._clock - length)
            self._episodes[copy // self._shape[1]].append(episode)
        self._returns[ended] = 0.0
        self._lengths[ended] = 0

    def _check(self, rewards: np.ndarray, obs: np.ndarray) -> None:
        if not np.isfinite(rewards).all():
            self._blame("reward", rewards)
        self._check_obs(obs)

    def _check_obs(self, obs: np.ndarray) -> None:
        if obs.dtype.kind == "f" and not np.isfinite(obs).all():
            self._blame("observation", obs)

    def _blame(self, what: str, values: np.ndarray) -> None:
        """Notes for each member the first number that was not finite."""
        by_member = values.reshape(self._shape[0], -1)
        for member in np.flatnonzero(~np.isfinite(by_member).all(1)).tolist():
            found = by_member[member]
            bad = float(found[~np.isfinite(found)][0])
            self.diverged.setdefault(member, Divergence(what, bad, int(self.env_steps[member])))

    def take_episodes(self) -> list[list[Episode]]:
        """Each member's episodes that ended since the last call."""
        taken, self._episodes = self._episodes, [[] for _ in self._episodes]
        return taken

    @property
    def running(self) -> np.ndarray:
        """Steps so far of the running episode of each copy, shape (M, E)."""
        return self._lengths.reshape(self._shape)
