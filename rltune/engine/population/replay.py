"""A replay buffer of all members on the device: uniform or prioritised, n-step, stacked frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from rltune.engine.population.streams import Streams
from rltune.engine.population.sum_trees import SumTrees
from rltune.engine.replay_buffer import Priorities

#: Places drawn for one transition: the first that holds one is taken. Of places that episodes'
#: last observations take, one in (steps of an episode + 1), all are seldom wrong.
CANDIDATES = 3
#: Columns of :attr:`Replay.outcomes`.
REWARD, TERMINATED, DONE, VALID = range(4)


@dataclass(frozen=True)
class ReplayLayout:
    """Shapes and sizes of each member's buffer, known before memory is allocated.

    Attributes:
        capacity: number of transitions; an episode's last observation counts as one.
        copies: of the environment each member has, E.
        obs_shape, obs_dtype: of one observation, with frames stacked along the last axis.
        action_shape, action_dtype: of one action.
        frame_stack: number of frames in an observation; the buffer keeps each frame once.
        prioritized: whether transitions are drawn by their TD errors.
    """

    capacity: int
    copies: int
    obs_shape: tuple[int, ...]
    obs_dtype: torch.dtype = torch.float32
    action_shape: tuple[int, ...] = ()
    action_dtype: torch.dtype = torch.int64
    frame_stack: int = 1
    prioritized: bool = False

    @property
    def rows(self) -> int:
        """Slots of each copy: its share of the capacity, and one for the next observation, R."""
        return -(-self.capacity // self.copies) + 1

    @property
    def frame(self) -> tuple[int, ...]:
        """Shape of an observation's newest frame."""
        *outer, inner = self.obs_shape or (1,)
        return (*outer, inner // self.frame_stack) if self.frame_stack > 1 else self.obs_shape

    def nbytes(self, members: int, dtype: torch.dtype = torch.float32) -> int:
        """Memory of the buffers of all members in bytes."""
        slots = self.rows * self.copies
        slot = (
            math.prod(self.frame) * self.obs_dtype.itemsize
            + math.prod(self.action_shape) * self.action_dtype.itemsize
            + 4 * dtype.itemsize
            + (self.frame_stack > 1)
        )
        trees = SumTrees.nbytes(slots) if self.prioritized else 0
        return members * (slot * slots + trees)

    def transition_nbytes(self) -> int:
        """Memory of the observations of one drawn transition in bytes."""
        return 2 * math.prod(self.obs_shape) * self.obs_dtype.itemsize


class Replay:
    """The newest transitions of each member's copies, in temporal order.

    All copies of all members step together, so that one head is common to all. The observation
    after a step is that of the next row; the row after an episode's end is the reset's, which is
    not ``VALID``. Places count along a member's rows and copies: row times E plus copy.

    Args:
        members: their number, M.
        steps: rows written between two calls of :meth:`write`, T.

    Raises:
        ValueError: the rows of one round do not fit.

    Attributes:
        obs: newest frames, shape (M, R, E, ...).
        actions: shape (M, R, E, ...).
        outcomes: rewards, and whether the task ended, the episode ended and the row is a
            transition, shape (M, R, E, 4).
        ages: number of earlier frames of the same episode, at most as many as a stack needs, uint8,
            shape (M, R, E); None without stacks.
        head: row that is written next, shape (1,).
        held: rows before the head that draws reach, shape (M, 1).
        trees: of priorities; None where draws are uniform.
        highest: priority of new transitions, shape (M, 1).
    """

    def __init__(
        self,
        members: int,
        layout: ReplayLayout,
        steps: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if layout.rows < steps + layout.frame_stack + 1:
            raise ValueError(
                f"buffer_capacity {layout.capacity} holds no more than the {steps} steps of each "
                f"of {layout.copies} copies between two rounds of updates: raise it"
            )
        self.layout, self.steps, self.dtype = layout, steps, dtype
        slots = (members, layout.rows, layout.copies)
        self.obs = torch.zeros(*slots, *layout.frame, device=device, dtype=layout.obs_dtype)
        self.actions = torch.zeros(
            *slots, *layout.action_shape, device=device, dtype=layout.action_dtype
        )
        self.outcomes = torch.zeros(*slots, 4, device=device, dtype=dtype)
        self.ages = (
            torch.zeros(slots, device=device, dtype=torch.uint8) if layout.frame_stack > 1 else None
        )
        self.head = torch.zeros(1, device=device, dtype=torch.int64)
        self.held = torch.zeros(members, 1, device=device, dtype=torch.int64)
        size = layout.rows * layout.copies
        self.trees = SumTrees(members, size, device) if layout.prioritized else None
        self.highest = torch.ones(members, 1, device=device, dtype=torch.float64)
        self._size = size
        self._first = torch.arange(members, device=device).unsqueeze(1) * size
        self._round = torch.arange(steps, device=device)
        self._ahead = torch.arange(layout.frame_stack, device=device)
        self._preference = torch.arange(CANDIDATES, 0, -1, device=device, dtype=dtype)

    def __len__(self) -> int:
        return len(self.obs)

    @property
    def transitions(self) -> torch.Tensor:
        """Transitions that each member holds, shape (M,)."""
        return (self.outcomes[..., VALID] > 0).sum((1, 2))

    # Writing -----------------------------------------------------------------------------------

    def put(self, obs: torch.Tensor, actions: torch.Tensor) -> None:
        """Writes observations (M, E, ...) and the actions at them, and moves the head."""
        self._put_obs(obs)
        self.actions.index_copy_(1, self.head, actions.unsqueeze(1))
        self.head.add_(1).remainder_(self.layout.rows)

    def unwind(self, obs: torch.Tensor) -> None:
        """Takes back the last :meth:`put`.

        Args:
            obs: what the head held before it, see :meth:`at_head`.
        """
        self.head.sub_(1).remainder_(self.layout.rows)
        self.obs.index_copy_(1, self.head, obs)

    def at_head(self) -> torch.Tensor:
        """The frames (M, 1, E, ...) that the next :meth:`put` overwrites."""
        return self.obs.index_select(1, self.head)

    def _put_obs(self, obs: torch.Tensor) -> None:
        if self.layout.frame_stack > 1:
            obs = obs[..., -self.layout.frame[-1] :]
        self.obs.index_copy_(1, self.head, obs.unsqueeze(1))

    def write(self, outcomes: torch.Tensor, obs: torch.Tensor) -> None:
        """Completes the last ``steps`` rows; the oldest ones are gone.

        Args:
            outcomes: see :attr:`outcomes`, shape (4, T, M, E).
            obs: observations after them, shape (M, E, ...).
        """
        layout = self.layout
        rows = (self.head - self.steps + self._round) % layout.rows
        self.outcomes.index_copy_(1, rows, outcomes.permute(2, 1, 3, 0).to(self.dtype))
        self._put_obs(obs)
        # The head is no transition, and after it come rows whose earlier frames are overwritten.
        ahead = (self.head + self._ahead) % layout.rows
        self.outcomes[..., VALID].index_fill_(1, ahead, 0.0)
        if self.ages is not None:
            self._write_ages(rows, outcomes[VALID])
        self.held.add_(self.steps).clamp_(max=layout.rows - 1)
        if self.trees is not None:
            places = self._places(torch.cat([rows, ahead]))
            self.trees.set(places, self.highest * self.valid(places))

    def _write_ages(self, rows: torch.Tensor, valid: torch.Tensor) -> None:
        assert self.ages is not None
        age, ages = self.ages.index_select(1, rows[:1])[:, 0], []
        for each in valid:
            # What a reset's row leads to is the first observation of an episode.
            age = (age + 1).clamp(max=self.layout.frame_stack - 1) * (each > 0)
            ages.append(age)
        self.ages.index_copy_(1, (rows + 1) % self.layout.rows, torch.stack(ages, 1))

    def _places(self, rows: torch.Tensor) -> torch.Tensor:
        """Places (M, N) of whole rows."""
        copies = torch.arange(self.layout.copies, device=rows.device)
        places = (rows.unsqueeze(1) * self.layout.copies + copies).flatten()
        return places.expand(len(self), -1)

    @torch.no_grad()
    def leave(self, members: torch.Tensor) -> None:
        """Ends the running episodes of some members: what follows is not their continuation."""
        last = (self.head - 1) % self.layout.rows
        self.outcomes[members, last, :, VALID] = 0.0
        if self.trees is not None:
            places = self._places(last)
            self.trees.set(places, self.trees.get(places) * self.valid(places))
        if self.ages is not None:
            self.ages[members, self.head] = 0

    @torch.no_grad()
    def empty(self, members: torch.Tensor) -> None:
        """Forgets all transitions of some members; running episodes continue."""
        self.held[members] = 0
        self.outcomes[members, :, :, VALID] = 0.0
        self.highest[members] = 1.0
        for level in self.trees.levels if self.trees else ():
            level[members] = 0.0

    @torch.no_grad()
    def copy(self, donors: torch.Tensor, clones: torch.Tensor) -> None:
        """Gives members the transitions of others in place of their own."""
        tensors = [self.obs, self.actions, self.outcomes, self.held, self.highest]
        tensors += [] if self.ages is None else [self.ages]
        tensors += self.trees.levels if self.trees else []
        for tensor in tensors:
            tensor.index_copy_(0, clones, tensor.index_select(0, donors))
        self.leave(clones)

    # Reading -----------------------------------------------------------------------------------

    def draw(self, streams: Streams, batches: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws ``batches`` times ``count`` transitions of each member, uniformly.

        Returns:
            their places, and 1 for each, or 0 where none was met, on average 1 over a batch; both
            of shape (batches, M, count).
        """
        uniform = streams.uniform(batches, count, CANDIDATES, dtype=torch.float64)
        back = (uniform * (self.held * self.layout.copies)[..., None, None]).long()
        places = (self.head * self.layout.copies - 1 - back) % self._size
        valid = self._read(self.outcomes[..., VALID], places.transpose(0, 1).flatten(2))
        valid = valid.view(batches, len(self), count, CANDIDATES).transpose(0, 1)
        first = (valid * self._preference).argmax(-1, keepdim=True)
        usable = valid.gather(-1, first).squeeze(-1).transpose(0, 1)
        found = places.gather(-1, first).squeeze(-1).transpose(0, 1)
        return found, usable / usable.mean(-1, keepdim=True).clamp_min(1 / count)

    def draw_by_priority(
        self, streams: Streams, count: int, beta: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws ``count`` transitions of each member in proportion to their priorities.

        Args:
            beta: exponents of the importance weights, shape (M, 1).

        Returns:
            their places, and their importance weights, at most 1; both of shape (1, M, count).
        """
        assert self.trees is not None
        places = self.trees.draw(streams.uniform(count, dtype=torch.float64))
        priorities = self.trees.get(places)
        # Of weights that are divided by the largest the number of transitions does not matter.
        weights = (priorities / self.trees.total).pow(-beta)
        weights = torch.where(priorities > 0, weights, 0.0)
        weights = weights / weights.amax(1, keepdim=True)
        return places.unsqueeze(0), weights.nan_to_num_(0.0).to(self.dtype).unsqueeze(0)

    def set_priorities(
        self,
        places: torch.Tensor,
        td_errors: torch.Tensor,
        alpha: torch.Tensor,
        due: torch.Tensor,
    ) -> None:
        """Sets the priorities of transitions to their TD errors.

        Args:
            places, td_errors: shape (M, N).
            alpha: exponents, shape (M, 1).
            due: members whose priorities change, bool, shape (M, 1).
        """
        assert self.trees is not None
        before = self.trees.get(places)
        values = (td_errors.double().abs() + Priorities.EPSILON).pow(alpha)
        values = torch.where(due & values.isfinite() & (before > 0), values, before)
        self.highest.copy_(torch.maximum(self.highest, values.amax(1, keepdim=True)))
        self.trees.set(places, values)

    def look_ahead(
        self,
        places: torch.Tensor,
        longest: int,
        n_step: torch.Tensor,
        gamma: torch.Tensor,
        clip: bool | float | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sums up the rewards from places (K, M, N) on.

        Args:
            longest: number of rewards in a sum, at most.
            n_step: the same of each member, shape (M, 1); fewer if the episode or the data ends.
            gamma: discount of the rewards, shape (M, 1).
            clip: clipping of each reward, see :func:`rltune.engine.rollout.clip_rewards`.

        Returns:
            discounted sums, discounts of the value after the last reward (0 where the task ended
            with it), and the place of the observation there; all of shape (K, M, N).
        """
        copies = self.layout.copies
        if longest == 1:
            outcomes = self._read(self.outcomes, places)
            discounts = gamma * (1 - outcomes[..., TERMINATED])
            return _clipped(outcomes[..., REWARD], clip), discounts, (places + copies) % self._size
        steps = torch.arange(longest, device=places.device)
        each = (places.unsqueeze(-1) + steps * copies) % self._size
        outcomes = self._read(self.outcomes, each.flatten(2)).view(*each.shape, 4)
        rewards, terminated, done, valid = outcomes.unbind(-1)
        continues = ((1 - done[..., :-1]) * valid[..., 1:]).cumprod(-1)
        counted = torch.cat([torch.ones_like(rewards[..., :1]), continues], -1)
        counted = counted * (steps < n_step.unsqueeze(-1))
        sums = _clipped(rewards, clip) * counted * gamma.unsqueeze(-1) ** steps
        count = counted.sum(-1)
        discounts = gamma**count * (1 - (terminated * counted).sum(-1))
        return sums.sum(-1), discounts, (places + count.long() * copies) % self._size

    def read_actions(self, places: torch.Tensor) -> torch.Tensor:
        """Actions (..., M, N, ...) at places (..., M, N)."""
        return self._read(self.actions, places)

    def read_obs(self, places: torch.Tensor) -> torch.Tensor:
        """Observations (..., M, N, ...) at places (..., M, N), the newest frame last."""
        if self.ages is None:
            return self._read(self.obs, places)
        frames = self.layout.frame_stack
        ages = self._read(self.ages, places).unsqueeze(-1).long()
        # An episode starts with its first frame repeated.
        back = torch.minimum(ages, self._ahead.flip(0))
        each = (places.unsqueeze(-1) - back * self.layout.copies) % self._size
        found = self._read(self.obs, each.flatten(-2))
        found = found.view(*places.shape, frames, *self.layout.frame)
        return found.movedim(places.dim(), -2).flatten(-2)

    def recent(self) -> torch.Tensor:
        """Places (M, T * E) of the last ``steps`` rows."""
        return self._places((self.head - self.steps + self._round) % self.layout.rows)

    def valid(self, places: torch.Tensor) -> torch.Tensor:
        """Whether places (..., M, N) hold transitions, bool."""
        return self._read(self.outcomes[..., VALID], places) > 0

    def _read(self, table: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The rows (..., M, N, ...) of a table (M, R, E, ...) at places (..., M, N)."""
        flat = (places + self._first).flatten()
        return table.flatten(0, 2).index_select(0, flat).view(*places.shape, *table.shape[3:])


def _clipped(rewards: torch.Tensor, how: bool | float | None) -> torch.Tensor:
    if not how:
        return rewards
    return rewards.sign() if how is True else rewards.clamp(-abs(how), abs(how))
