"""What the replay buffers of a batch hold: rows of all members, with one head."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from rltune.engine.population.replay_layout import ReplayLayout
from rltune.engine.population.sum_trees import SumTrees

#: Columns of :attr:`ReplayRows.outcomes`.
REWARD, TERMINATED, DONE, VALID = range(4)


class ReplayRows:
    """The newest transitions of each member's copies, in temporal order.

    All copies of all members step together, so that one head is common to all. The observation
    after a step is that of the next row; the row after an episode's end is the reset's, which is
    not ``VALID``. Places count along a member's rows and copies: row times E plus copy.

    Args:
        members: their number, M.
        steps: rows written between two calls of :meth:`write`, T.

    Raises:
        ValueError: the rows of one round do not fit.
        MemoryError: the device has too little memory.

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
        layout.check_memory(members, torch.device(device), dtype)
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

    def __len__(self) -> int:
        return len(self.obs)

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

    # Reading -----------------------------------------------------------------------------------

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

    def count(self, member: int) -> int:
        """Transitions that a member holds."""
        return int((self.outcomes[member, ..., VALID] > 0).sum())

    # Continuing --------------------------------------------------------------------------------

    @torch.no_grad()
    def take(self, member: int) -> dict[str, torch.Tensor]:
        """A copy of a member's rows, oldest first, by table; each of shape (rows, E, ...).

        The last row holds the observations after the others.
        """
        rows = (self.head + torch.arange(-int(self.held[member]), 1, device=self.head.device)) % (
            self.layout.rows
        )
        return {name: table[member].index_select(0, rows) for name, table in self._tables().items()}

    @torch.no_grad()
    def place(self, member: int, rows: Mapping[str, torch.Tensor]) -> None:
        """Gives a member rows that :meth:`take` returns, in place of its own.

        They end before the head, whose row is the next step's: none of them is overwritten by
        what follows, which is not their continuation. The oldest is left out where all are full.
        """
        count = min(len(rows["outcomes"]), self.layout.rows - 1)
        at = (self.head - count + torch.arange(count, device=self.head.device)) % self.layout.rows
        self.empty(member)
        for name, table in self._tables().items():
            if name in rows:
                table[member].index_copy_(0, at, rows[name][-count:].to(table))
        self.outcomes[member, (self.head + self._ahead) % self.layout.rows, :, VALID] = 0.0
        if self.ages is not None:
            self.ages[member, self.head] = 0
        self.held[member] = count
        if self.trees is not None:
            valid = self.outcomes[member, ..., VALID] > 0
            given = self._tables()["priorities"][member] if "priorities" in rows else 1.0
            priorities = torch.where(valid, given, 0.0).double()
            self.trees.fill(member, priorities.flatten())
            self.highest[member] = priorities.amax().clamp_min(1.0)

    def _tables(self) -> dict[str, torch.Tensor]:
        """Everything that belongs to a row, each of shape (M, R, E, ...)."""
        tables = {"obs": self.obs, "actions": self.actions, "outcomes": self.outcomes}
        if self.ages is not None:
            tables["ages"] = self.ages
        if self.trees is not None:
            leaves = self.trees.levels[0][:, : self._size]
            tables["priorities"] = leaves.view(self.outcomes.shape[:3])
        return tables

    def leave(self, member: int) -> None:
        """Ends the running episodes of a member: what follows is not their continuation."""
        last = (self.head - 1) % self.layout.rows
        if bool(self.outcomes[member, last, :, VALID].any()):
            self.place(member, self.take(member))

    @torch.no_grad()
    def empty(self, member: int) -> None:
        """Forgets all transitions of a member; running episodes continue."""
        self.held[member] = 0
        self.outcomes[member, ..., VALID] = 0.0
        self.highest[member] = 1.0
        if self.trees is not None:
            self.trees.clear(member)
