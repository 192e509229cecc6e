"""Copies of an environment that step in several processes."""

from __future__ import annotations

import math
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from rltune.envs.closing import close
from rltune.envs.coded import Copies
from rltune.envs.frames import frames_of

from rltune.errors import ProcessEnded
from rltune.processes.worker import Guarding, Worker

#: Whether environments can be stepped in other processes here: forking is unsafe elsewhere.
POSSIBLE = sys.platform == "linux"


@dataclass(frozen=True)
class Processes(Guarding):
    """In how many processes copies are stepped, and how their calls are guarded.

    Attributes:
        count: number of processes, at most one a copy.
    """

    count: int = 1


class Workers(VectorEnv):  # type: ignore[misc]
    """Steps each process's share of the copies one after the other, see :class:`Copies`.

    Every copy gets the seeds and actions that it would get in one process, so that it plays the
    same episodes. Observations come through shared memory, everything else through pipes. What a
    copy raises is raised here when all others have answered.

    Args:
        make: makes so many copies; called in each process.
        num_envs: copies in all.
        processes: number of processes and their guards.

    Attributes:
        frames: observations that are joined, see :class:`rltune.envs.frames.JoinFrames`.

    Raises:
        ProcessEnded: a process hung or crashed; also in ``reset`` and ``step``.
    """

    def __init__(self, make: Callable[[int], Copies], num_envs: int, processes: Processes) -> None:
        self.num_envs = num_envs
        bounds = np.linspace(0, num_envs, min(processes.count, num_envs) + 1).astype(int)
        self._shares = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
        self._workers: list[Worker] = []
        memory = os.memfd_create("rltune")  # neither a name nor /dev/shm's limit
        try:
            self._start(make, processes, memory)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(memory)

    def _start(self, make: Callable[[int], Copies], processes: Processes, memory: int) -> None:
        layouts = []
        for number, share in enumerate(self._shares):
            made = partial(_Share, make, share, memory)
            worker = Worker(made, processes, number, self._workers)
            self._workers.append(worker)
            worker.answer()
            worker.send("layout")
            layouts.append(worker.answer())
        seen, acts, self.frames = layouts[0]
        _check_alike(self._shares, layouts)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = seen, acts
        self.observation_space = batch_space(seen, self.num_envs)
        self.action_space = batch_space(acts, self.num_envs)
        os.ftruncate(memory, _bytes(seen, self.num_envs))
        self._seen = _view(memory, seen, self.num_envs)
        self._call("attach", *([(self.num_envs,)] * len(self._workers)))

    def _call(self, method: str, *args: tuple[Any, ...]) -> list[Any]:
        """Calls a method of every share at once, each with arguments of its own."""
        for worker, its in zip(self._workers, args, strict=True):
            worker.send(method, *its)
        answers: list[Any] = []
        raised: list[Exception] = []
        for worker in self._workers:
            try:
                answers.append(worker.answer())
            except ProcessEnded:
                raise
            except Exception as error:
                raised.append(error)
        if raised:
            raise raised[0]
        return answers

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode in every copy; a single seed belongs to the first copy."""
        if not isinstance(seed, Sequence):
            seed = [None if seed is None else seed + i for i in range(self.num_envs)]
        self._call("reset", *((seed[share], options) for share in self._shares))
        return self._seen.copy(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps every copy, and resets those whose episode has ended."""
        answers = self._call("step", *((actions[share],) for share in self._shares))
        rewards, terminated, truncated, infos = zip(*answers, strict=True)
        return (
            self._seen.copy(),
            np.concatenate(rewards),
            np.concatenate(terminated),
            np.concatenate(truncated),
            self._joined(infos),
        )

    def _joined(self, infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
        if not any(infos):
            return {}
        joined: dict[str, list[Any]] = {"final_obs": [], "final_info": []}
        for share, info in zip(self._shares, infos, strict=True):
            for name, values in joined.items():
                values += info.get(name) or [None] * (share.stop - share.start)
        return joined

    def close_extras(self, **_: Any) -> None:
        """Closes the copies and ends their processes."""
        for worker in self._workers:
            worker.close()

    def __del__(self) -> None:
        """Closes what was not closed; when Python ends, the processes end by themselves."""
        if not sys.is_finalizing():
            super().__del__()


class _Share:
    """The copies of one process."""

    def __init__(self, make: Callable[[int], Copies], share: slice, memory: int) -> None:
        self._share, self._memory = share, memory
        self._copies = make(share.stop - share.start)

    def layout(self) -> tuple[gym.Space[Any], gym.Space[Any], int]:
        """Spaces of a copy, and the observations joined in it."""
        copies = self._copies
        frames = frames_of(copies.envs[0])
        return copies.single_observation_space, copies.single_action_space, frames

    def attach(self, num_envs: int) -> None:
        """Takes its part of the shared observations of so many copies."""
        everything = _view(self._memory, self._copies.single_observation_space, num_envs)
        self._seen = everything[self._share]

    def _show(self, observations: np.ndarray) -> None:
        if observations.shape != self._seen.shape:
            raise ValueError(
                f"observations have shape {observations.shape[1:]}, their space says "
                f"{self._seen.shape[1:]}"
            )
        self._seen[...] = observations

    def reset(self, seeds: Sequence[int | None], options: dict[str, Any] | None) -> None:
        """Starts an episode in every copy."""
        self._show(self._copies.reset(seed=seeds, options=options)[0])

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        """Steps every copy; returns all but the observations."""
        observations, *others = self._copies.step(actions)
        self._show(observations)
        return tuple(others)

    def close(self) -> None:
        """Closes the copies."""
        close(self._copies)


def _bytes(space: gym.Space[Any], count: int) -> int:
    size: int = count * math.prod(space.shape or ()) * np.dtype(space.dtype).itemsize
    return max(1, size)


def _view(memory: int, space: gym.Space[Any], count: int) -> np.ndarray:
    """Observations of so many copies, shape (count, ...), in shared memory."""
    shared = mmap.mmap(memory, _bytes(space, count))
    shape = (count, *(space.shape or ()))
    return np.frombuffer(shared, space.dtype, count=math.prod(shape)).reshape(shape)


def _check_alike(shares: Sequence[slice], layouts: Sequence[tuple[Any, ...]]) -> None:
    first = layouts[0]
    for share, layout in zip(shares, layouts, strict=True):
        for name, space, expected in zip(("observation", "action"), layout, first, strict=False):
            if space != expected:
                raise ValueError(
                    f"the {name}_space of copy {share.start + 1} is {space}, that of the first "
                    f"{expected}: every copy must have the same"
                )
