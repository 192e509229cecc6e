"""A replay buffer on preallocated arrays: uniform or prioritised, n-step, stacked frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from rltune.engine import replay_files
from rltune.engine.rollout import Rollout, clip_rewards
from rltune.engine.sum_tree import SumTree
from rltune.processes import machine
from rltune.processes.machine import Grant


@dataclass(frozen=True)
class Layout:
    """Shapes and sizes of a buffer, known before memory is allocated.

    Attributes:
        observation_space: of one environment, with frames stacked along the last axis.
        action_space: of one environment.
        capacity: number of transitions; an episode's last observation counts as one.
        num_envs: number of environments that fill it, over all runners.
        frame_stack: number of frames in an observation; the buffer keeps each frame once.
    """

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    capacity: int
    num_envs: int = 1
    frame_stack: int = 1

    @property
    def rows(self) -> int:
        """Number of slots per environment: its share, and one for the next observation."""
        return -(-self.capacity // self.num_envs) + 1

    @property
    def signature(self) -> tuple[int, int, int]:
        """What two buffers must have in common, besides the shapes of their columns."""
        return self.capacity, self.num_envs, self.frame_stack

    @property
    def columns(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape of one slot and dtype by column. Frames of bytes stay bytes."""
        *outer, inner = self.observation_space.shape or (1,)
        frame = (*outer, inner // self.frame_stack)
        dtype = np.dtype(self.observation_space.dtype)
        flag = np.dtype(bool)
        return {
            "obs": (frame, dtype if dtype == np.uint8 else np.dtype(np.float32)),
            "actions": (self.action_space.shape or (), _action_dtype(self.action_space)),
            "rewards": ((), np.dtype(np.float32)),
            "terminated": ((), flag),
            # Last transition of its episode: the next slot holds its last observation.
            "last": ((), flag),
            # Whether the slot is a transition, and not an episode's last observation, the
            # observation before the next step, or a slot never written.
            "live": ((), flag),
            # Number of earlier frames of the same episode, at most as many as a stack needs.
            "age": ((), np.dtype(np.uint8)),
        }

    @property
    def nbytes(self) -> int:
        """Memory of the whole buffer in bytes."""
        slot = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self.columns.values())
        return slot * self.rows * self.num_envs

    def check_memory(self, trials: int = 1) -> None:
        """Raises MemoryError if less memory is free than the buffers of all trials take."""
        check_memory(self.capacity, self.nbytes, trials, machine.free_memory())


def check_memory(capacity: int, nbytes: int, trials: int, free: Grant) -> None:
    """Raises MemoryError if less memory is free than buffers take.

    Args:
        capacity: transitions in the buffer of one trial.
        nbytes: of that buffer.
    """
    if nbytes * trials > free.amount:
        each = f" in each of {trials} trials" if trials > 1 else ""
        raise MemoryError(
            f"a replay buffer of {capacity:,} transitions takes "
            f"{nbytes / 1e9:.1f} GB{each}, and {free.amount / 1e9:.1f} GB are free"
            f"{f' ({free.limit})' if free.limit else ''}: lower buffer_capacity"
        )


def _action_dtype(space: gym.Space[Any]) -> np.dtype[Any]:
    return np.dtype(np.int64 if isinstance(space, gym.spaces.Discrete) else np.float32)


@dataclass(frozen=True)
class Priorities:
    """Proportional prioritisation (Schaul et al. 2016): alpha and beta."""

    alpha: float = 0.6
    beta: float = 0.4
    #: Added to a TD error, so that every transition keeps a positive probability.
    EPSILON = 1e-6


class ReplayBuffer:
    """The newest transitions of each environment, in temporal order.

    Each environment fills its own ring, and the observation after a step is stored once, in the
    next slot. A sample therefore can look ahead over ``n_step`` rewards with the current discount,
    and back over the frames of a stack.

    Args:
        priorities: None to sample uniformly.
        seed: seed of the sampling.

    Raises:
        MemoryError: the machine has too little memory.
    """

    def __init__(
        self, layout: Layout, priorities: Priorities | None = None, seed: int | None = None
    ) -> None:
        layout.check_memory()
        self.layout = layout
        self.priorities = priorities
        self.rng = np.random.default_rng(seed)
        slots = layout.rows * layout.num_envs
        # Zeroed pages take memory only when they are written.
        self._columns = {
            name: np.zeros((slots, *shape), dtype)
            for name, (shape, dtype) in layout.columns.items()
        }
        self._first = np.arange(layout.num_envs) * layout.rows
        self._head = np.zeros(layout.num_envs, dtype=int)  # slots written to each ring so far
        self._open = np.zeros(
            layout.num_envs, dtype=bool
        )  # whether an episode is running at the head
        self._age = np.zeros(
            layout.num_envs, dtype=int
        )  # number of frames of its episode before the head
        self._size = 0
        self._tree = SumTree(slots) if priorities else None
        self._highest = 1.0

    def __len__(self) -> int:
        return self._size

    @property
    def row_bytes(self) -> int:
        """Memory of the observations of one sampled transition in bytes."""
        frame = self._columns["obs"]
        return 2 * frame[:1].nbytes * self.layout.frame_stack

    # Writing -----------------------------------------------------------------------------------

    def add(self, rollouts: list[Rollout]) -> None:
        """Adds one rollout per runner; overwrites the oldest transitions."""
        joined = rollouts[0] if len(rollouts) == 1 else Rollout.join(rollouts)
        if not joined.continues:
            self._leave_episodes()
        # The last step of an episode fills two slots; no part may lap its ring.
        longest = max(1, (self.layout.rows - 1) // 2)
        for start in range(0, len(joined.rewards), longest):
            self._write(joined.steps(start, start + longest))

    def _write(self, part: Rollout) -> None:
        done = (part.terminated | part.truncated) & part.valid
        used = part.valid.astype(int) + done
        at = self._first + (self._head + np.cumsum(used, axis=0) - used) % self.layout.rows
        slots, ages = at[part.valid], self._ages(part.valid, done)
        self._forget(slots)
        for name, values in {
            "obs": self._newest_frame(part.obs),
            "actions": part.actions,
            "rewards": part.rewards,
            "terminated": part.terminated,
            "last": done,
            "age": ages,
        }.items():
            self._columns[name][slots] = values[part.valid]
        self._columns["live"][slots] = True
        self._size += len(slots)
        if self._tree is not None:
            self._tree.set(slots, self._highest)
        if done.any():
            self._write_observations(self._after(at[done]), part.next_obs[done], ages[done] + 1)
        self._head += used.sum(axis=0)
        # A step that gymnasium used for a reset is followed by an episode's first observation.
        self._open = part.valid[-1] & ~done[-1]
        self._write_observations(self._heads(), part.next_obs[-1], self._age)
        # After the head comes the oldest slot left, whose earlier frames are overwritten.
        for ahead in range(1, self.layout.frame_stack):
            self._forget(self._first + (self._head + ahead) % self.layout.rows)

    def _write_observations(self, slots: np.ndarray, obs: np.ndarray, ages: np.ndarray) -> None:
        """Writes observations that are not (yet) transitions."""
        self._forget(slots)
        self._columns["obs"][slots] = self._newest_frame(obs)
        self._columns["age"][slots] = np.minimum(ages, self.layout.frame_stack - 1)

    def _forget(self, slots: np.ndarray) -> None:
        live = self._columns["live"]
        self._size -= int(live[slots].sum())
        live[slots] = False
        if self._tree is not None:
            self._tree.set(slots, 0.0)

    def _leave_episodes(self) -> None:
        """Ends the running episodes: the environments were reset."""
        before = self._first + (self._head - 1) % self.layout.rows
        self._columns["last"][before[self._open]] = True
        self._head += self._open  # the observation at the head stays, as the last one
        self._open[:] = False
        self._age[:] = 0

    def _ages(self, valid: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Counts the frames of the same episode before each step, at most a stack's."""
        ages = np.zeros(valid.shape, dtype=int)
        if self.layout.frame_stack > 1:
            for t in range(len(valid)):
                ages[t] = self._age
                self._age = np.where(done[t] | ~valid[t], 0, self._age + 1)
        return np.minimum(ages, self.layout.frame_stack - 1)

    def _newest_frame(self, obs: np.ndarray) -> np.ndarray:
        return obs[..., -self._columns["obs"].shape[-1] :] if self.layout.frame_stack > 1 else obs

    def _heads(self) -> np.ndarray:
        heads: np.ndarray = self._first + self._head % self.layout.rows
        return heads

    def _after(self, slots: np.ndarray, steps: int | np.ndarray = 1) -> np.ndarray:
        """Returns the slots that are ``steps`` later in the ring of each slot."""
        rows = self.layout.rows
        after: np.ndarray = slots - slots % rows + (slots % rows + steps) % rows
        return after

    # Reading -----------------------------------------------------------------------------------

    def sample(
        self,
        batch_size: int,
        n_step: int = 1,
        gamma: float = 1.0,
        clip: bool | float | None = None,
    ) -> dict[str, np.ndarray]:
        """Draws transitions with replacement.

        Args:
            n_step: number of rewards in a sum; fewer if the episode or the data ends earlier.
            gamma: discount of the rewards.
            clip: clipping of each reward, see :func:`rltune.engine.rollout.clip_rewards`.

        Returns:
            ``obs``, ``next_obs`` (after the last reward), ``actions``, ``rewards`` (discounted
            sums), ``terminated``, ``n_step`` (number of rewards in each sum), ``weights``
            (importance sampling, at most 1) and ``slots``, each with ``batch_size`` rows.
        """
        slots, weights = self._draw(batch_size)
        rewards, last, counts = self._look_ahead(slots, n_step, gamma, clip)
        columns = self._columns
        return {
            "obs": self._stack(slots),
            "next_obs": self._stack(self._after(last)),
            "actions": columns["actions"][slots],
            "rewards": rewards,
            "terminated": columns["terminated"][last],
            "n_step": counts,
            "weights": weights,
            "slots": slots,
        }

    def _draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        if self._tree is None or self.priorities is None:
            slots = self._redraw(np.empty(count, dtype=int), np.ones(count, dtype=bool))
            return slots, np.ones(count, dtype=np.float32)
        slots = self._tree.draw(self.rng, count)
        # Rounding can select a leaf of weight 0.
        slots = self._redraw(slots, ~self._columns["live"][slots])
        share = self._tree.get(slots) / self._tree.total
        weights = (share * self._size) ** -self.priorities.beta
        return slots, (weights / weights.max()).astype(np.float32)

    def _redraw(self, slots: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        """Replaces the wrong slots by uniformly drawn transitions."""
        rows = self.layout.rows
        reach = min(int(self._head.max()) + 1, rows)
        while count := int(wrong.sum()):
            drawn = self.rng.integers(reach * self.layout.num_envs, size=count)
            slots[wrong] = drawn if reach == rows else drawn // reach * rows + drawn % reach
            wrong = ~self._columns["live"][slots]
        return slots

    def _look_ahead(
        self, slots: np.ndarray, n_step: int, gamma: float, clip: bool | float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns discounted sums of rewards, the slot of the last reward and their number."""
        columns = self._columns
        rewards, last = clip_rewards(columns["rewards"][slots], clip), slots
        counts = np.ones(len(slots), np.float32)
        for step in range(1, n_step):
            following = self._after(last)
            continues = ~columns["last"][last] & columns["live"][following]
            reward = clip_rewards(columns["rewards"][following], clip)
            rewards = rewards + continues * np.float32(gamma**step) * reward
            counts += continues
            last = np.where(continues, following, last)
        return rewards, last, counts

    def _stack(self, slots: np.ndarray) -> np.ndarray:
        """Stacks observations for the network, the newest frame last."""
        obs = self._columns["obs"]
        if self.layout.frame_stack == 1:
            single: np.ndarray = obs[slots]
            return single
        ages = self._columns["age"][slots]
        back = range(self.layout.frame_stack - 1, -1, -1)
        # An episode starts with its first frame repeated.
        frames = [obs[self._after(slots, -np.minimum(ages, k).astype(int))] for k in back]
        return np.concatenate(frames, axis=-1)

    def update_priorities(self, slots: np.ndarray, td_errors: np.ndarray) -> None:
        """Sets the priorities of transitions to their TD errors, shape (batch_size,)."""
        if self._tree is None or self.priorities is None:
            return
        values = (np.abs(td_errors) + Priorities.EPSILON) ** self.priorities.alpha
        self._highest = max(self._highest, float(values.max()))
        self._tree.set(slots, values)

    # Saving -----------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Writes the contents, oldest first, as ``.npz``: only arrays, no pickle."""
        rows = self.layout.rows
        used = np.minimum(self._head + 1, rows)  # the head's observation too
        order = np.concatenate(
            [
                first + np.arange(head + 1 - count, head + 1) % rows
                for first, head, count in zip(self._first, self._head, used, strict=True)
            ]
        )
        held: dict[str, Any] = {name: values[order] for name, values in self._columns.items()}
        if self._tree is not None:
            held["priorities"] = self._tree.get(order)
        replay_files.write(path, self.layout.signature, used, self._open, held)

    def load(self, path: Path) -> None:
        """Replaces the contents by those that :meth:`save` wrote, and ends their episodes.

        Raises:
            ValueError: the file has another layout; the contents stay unchanged.
        """
        shapes = {name: shape for name, (shape, _) in self.layout.columns.items()}
        held = replay_files.read(path, self.layout.signature, shapes)
        used = held["used"]
        self._columns["live"][:] = False
        slots = np.concatenate(
            [first + np.arange(count) for first, count in zip(self._first, used, strict=True)]
        )
        for name, values in self._columns.items():
            values[slots] = held[name]
        self._head, self._open = used - 1, held["open"]
        self._size = int(self._columns["live"].sum())
        if self._tree is not None:
            self._tree.clear()
            live = self._columns["live"][slots]
            self._tree.set(slots, held.get("priorities", self._highest) * live)
            self._highest = max(1.0, self._tree.get(slots).max())
        self._leave_episodes()
