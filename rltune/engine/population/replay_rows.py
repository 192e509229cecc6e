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

    Each copy fills a ring of its own, in which the observation after a step is that of the next
    row. Rows that are not ``VALID`` hold an observation alone: the last one of an episode, or the
    newest. Places count along a member's rows and copies: row times E plus copy.

    Args:
        members: their number, M.
        steps: each copy takes between two calls of :meth:`write`, T.
        within_step: whether new episodes begin in the step that ends one, see :meth:`put_last`;
            otherwise they begin in a step of their own, which is not ``VALID``.

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
        head: row of each copy that is written next, and holds its newest observation, shape (M, E).
        held: rows before the heads that hold anything, at most, shape (M, 1).
        live: transitions of each copy, shape (M, E).
        trees: of priorities; None where draws are uniform.
        highest: priority of new transitions, shape (M, 1).
        step: steps since the last call of :meth:`write`, shape (1,).
    """

    def __init__(
        self,
        members: int,
        layout: ReplayLayout,
        steps: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        within_step: bool = False,
    ) -> None:
        most = 2 * steps if within_step else steps
        if layout.rows < most + layout.frame_stack + 1:
            raise ValueError(
                f"buffer_capacity {layout.capacity} holds no more than the {steps} steps of each "
                f"of {layout.copies} copies between two rounds of updates: raise it"
            )
        layout.check_memory(members, torch.device(device), dtype)
        self.layout, self.steps, self.dtype = layout, steps, dtype
        copies = (members, layout.copies)

        def zeros(*size: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
            return torch.zeros(*size, device=device, dtype=dtype)

        slots = (members, layout.rows, layout.copies)
        self.obs = zeros(*slots, *layout.frame, dtype=layout.obs_dtype)
        self.actions = zeros(*slots, *layout.action_shape, dtype=layout.action_dtype)
        self.outcomes = zeros(*slots, 4, dtype=dtype)
        self.ages = zeros(*slots, dtype=torch.uint8) if layout.frame_stack > 1 else None
        #: Rows of each copy's transitions, in a ring; then one for what is none.
        self.order = zeros(members, layout.rows + 1, layout.copies, dtype=torch.int32)
        self._added = zeros(*copies)  # place in that ring that is written next
        self.live, self.head = zeros(*copies), zeros(*copies)
        self.held = zeros(members, 1)
        size = layout.rows * layout.copies
        self.trees = SumTrees(members, size, device) if layout.prioritized else None
        self.highest = torch.ones(members, 1, device=device, dtype=torch.float64)
        # The steps of a round, until their outcomes are known.
        self.step = zeros(1)
        self._obs = zeros(steps, *copies, *layout.frame, dtype=layout.obs_dtype)
        self._last_obs = torch.zeros_like(self._obs) if within_step else None
        self._actions = zeros(steps, *copies, *layout.action_shape, dtype=layout.action_dtype)
        self._size = size
        self._members = torch.arange(members, device=device).unsqueeze(1)
        self._copies = torch.arange(layout.copies, device=device)
        #: Where the first rows of each copy are once a table's first axes are one, shape (M, E).
        self._first = self._members * size + self._copies
        self._first_order = self._first + self._members * layout.copies
        self._span = torch.arange(most + layout.frame_stack, device=device)[:, None, None]
        self._ahead = torch.arange(layout.frame_stack, device=device)

    def __len__(self) -> int:
        return len(self.obs)

    # Writing -----------------------------------------------------------------------------------

    def put(self, obs: torch.Tensor, actions: torch.Tensor) -> None:
        """Adds a step: observations (M, E, ...) and the actions at them."""
        self._obs.index_copy_(0, self.step, self._newest(obs).unsqueeze(0))
        self._actions.index_copy_(0, self.step, actions.unsqueeze(0))
        self.step.add_(1)

    def put_last(self, obs: torch.Tensor) -> None:
        """Adds the last observations (M, E, ...) of episodes that the newest step ended."""
        assert self._last_obs is not None
        self._last_obs.index_copy_(0, self.step - 1, self._newest(obs).unsqueeze(0))

    def _newest(self, obs: torch.Tensor) -> torch.Tensor:
        return obs[..., -self.layout.frame[-1] :] if self.layout.frame_stack > 1 else obs

    def write(self, outcomes: torch.Tensor, obs: torch.Tensor) -> torch.Tensor:
        """Writes the steps of a round; the oldest rows are gone.

        Args:
            outcomes: see :attr:`outcomes`, shape (4, T, M, E).
            obs: observations after them, shape (M, E, ...).

        Returns:
            The steps' places, shape (M, T * E).
        """
        count, ended = self.layout.rows, None
        used = torch.ones_like(outcomes[VALID], dtype=torch.int64)
        if self._last_obs is not None:
            ended = outcomes[DONE] > 0
            used += ended  # the last observation has a row of its own
        total = used.sum(0)
        reached = self._forget(total + self.layout.frame_stack)
        rows = (self.head + used.cumsum(0) - used) % count
        self.head.add_(total).remainder_(count)
        self.held.add_(total.amax(1, keepdim=True)).clamp_(max=count - 1)
        at, now = self._flat(rows), self._flat(self.head)
        if self._last_obs is not None:  # where none has ended, the next row's is written over it
            _put(self.obs, self._flat((rows + 1) % count), self._last_obs)
        _put(self.obs, at, self._obs)
        _put(self.obs, now, self._newest(obs))
        _put(self.actions, at, self._actions)
        _put(self.outcomes, at, outcomes.movedim(0, -1).to(self.dtype))
        if self.ages is not None:
            self._write_ages(self.ages, rows, outcomes[VALID], ended)
        self._count(rows, outcomes[VALID] > 0)
        if self.trees is not None:
            self._prioritise(self.trees, reached, total + self.layout.frame_stack)
        self.step.zero_()
        return (rows * self.layout.copies + self._copies).transpose(0, 1).flatten(1)

    def counters(self) -> list[torch.Tensor]:
        """What :meth:`write` reads and changes."""
        return [self.head, self.held, self.live, self._added, self.step, self.outcomes]

    def _flat(self, rows: torch.Tensor) -> torch.Tensor:
        """Where rows (..., M, E) of a table (M, R, E, ...) are once its first axes are one."""
        return (rows * self.layout.copies + self._first).flatten()

    def _forget(self, count: torch.Tensor) -> torch.Tensor:
        """Makes the next rows of each copy, ``count`` (M, E), no transitions.

        Beyond what a round writes, these are the head and rows whose earlier frames are
        overwritten.

        Returns:
            The rows that a round can reach (N, M, E).
        """
        rows = (self.head + self._span) % self.layout.rows
        flags, places = self.outcomes.flatten(0, 2)[:, VALID], self._flat(rows)
        valid = flags.index_select(0, places).view(rows.shape)
        gone = valid * (self._span < count)
        self.live.sub_(gone.sum(0).long())
        flags.index_copy_(0, places, (valid - gone).flatten())
        return rows

    def _write_ages(
        self,
        table: torch.Tensor,
        rows: torch.Tensor,
        valid: torch.Tensor,
        ended: torch.Tensor | None,
    ) -> None:
        most, count = self.layout.frame_stack - 1, self.layout.rows
        age = table.flatten().index_select(0, self._flat(rows[0])).view(rows.shape[1:])
        ages, following = [], []
        for t, each in enumerate(valid):
            ages.append(age)
            # What a reset's row leads to is the first observation of an episode.
            following.append((age + 1).clamp(max=most) * (each > 0))
            age = following[-1] if ended is None else following[-1] * ~ended[t]
        _put(table, self._flat((rows + 1) % count), torch.stack(following))
        _put(table, self._flat(rows), torch.stack(ages))
        _put(table, self._flat(self.head), age)

    def _count(self, rows: torch.Tensor, valid: torch.Tensor) -> None:
        """Adds rows (T, M, E) that are ``valid`` to the transitions."""
        count, added = self.layout.rows, valid.cumsum(0)
        at = torch.where(valid, (self._added - 1 + added) % count, count)
        places = (at * self.layout.copies + self._first_order).flatten()
        _put(self.order, places, rows.to(self.order.dtype))
        self._added.add_(added[-1]).remainder_(count)
        self.live.add_(added[-1])

    def _prioritise(self, trees: SumTrees, rows: torch.Tensor, count: torch.Tensor) -> None:
        """Gives the first rows of each copy, ``count`` (M, E), the priorities of new ones."""
        places = (rows * self.layout.copies + self._copies).transpose(0, 1).flatten(1)
        new = (self._span < count).transpose(0, 1).flatten(1)
        priorities = self.highest * self.valid(places)
        trees.set(places, torch.where(new, priorities, trees.get(places)))

    # Reading -----------------------------------------------------------------------------------

    def valid(self, places: torch.Tensor) -> torch.Tensor:
        """Whether places (..., M, N) hold transitions, bool."""
        return self._read(self.outcomes[..., VALID], places) > 0

    def _read(self, table: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The rows (..., M, N, ...) of a table (M, R, E, ...) at places (..., M, N)."""
        flat = (places + self._members * (table.shape[1] * self.layout.copies)).flatten()
        return table.flatten(0, 2).index_select(0, flat).view(*places.shape, *table.shape[3:])

    def count(self, member: int) -> int:
        """Transitions that a member holds."""
        return int(self.live[member].sum())

    # Continuing --------------------------------------------------------------------------------

    @torch.no_grad()
    def take(self, member: int) -> dict[str, torch.Tensor]:
        """A copy of a member's rows, oldest first, by table; each of shape (rows, E, ...).

        The last row holds the observations after the others.
        """
        back = torch.arange(-int(self.held[member]), 1, device=self.head.device).unsqueeze(1)
        rows = (self.head[member] + back) % self.layout.rows
        return {name: table[member, rows, self._copies] for name, table in self._tables().items()}

    @torch.no_grad()
    def place(self, member: int, rows: Mapping[str, torch.Tensor]) -> None:
        """Gives a member rows that :meth:`take` returns, in place of its own.

        What follows is not their continuation. The oldest is left out where all are full.
        """
        count = min(len(rows["outcomes"]), self.layout.rows - 1)
        self.empty(member)
        for name, table in self._tables().items():
            if name in rows:
                table[member, :count] = rows[name][-count:].to(table)
            elif name == "priorities":
                table[member] = 1.0
        self.head[member] = self.held[member] = count
        self._settle(member)
        if self.trees is not None:
            self.highest[member] = self._tables()["priorities"][member].amax().clamp_min(1.0)

    def _tables(self) -> dict[str, torch.Tensor]:
        """Everything that belongs to a row, each of shape (M, R, E, ...)."""
        tables = {"obs": self.obs, "actions": self.actions, "outcomes": self.outcomes}
        if self.ages is not None:
            tables["ages"] = self.ages
        if self.trees is not None:
            leaves = self.trees.levels[0][:, : self._size]
            tables["priorities"] = leaves.view(self.outcomes.shape[:3])
        return tables

    def _settle(self, member: int) -> None:
        """Makes everything else that is known of a member's rows agree with them."""
        count = self.layout.rows
        self.outcomes[
            member, (self.head[member] + self._ahead[:, None]) % count, self._copies, VALID
        ] = 0.0
        if self.ages is not None:
            self.ages[member, self.head[member], self._copies] = 0
        valid = self.outcomes[member, ..., VALID] > 0
        rows = (self.head[member] + torch.arange(count, device=self.head.device)[:, None]) % count
        missing = ~valid.gather(0, rows)
        oldest_first = missing.to(torch.uint8).sort(dim=0, stable=True).indices
        self.order[member, :count] = rows.gather(0, oldest_first).to(self.order)
        self.live[member] = valid.sum(0)
        self._added[member] = self.live[member] % count
        if self.trees is not None:
            held = self._tables()["priorities"][member]
            self.trees.fill(member, torch.where(valid, held, 0.0).flatten())

    @torch.no_grad()
    def leave(self, member: int) -> None:
        """Ends the running episodes of a member: what follows is not their continuation."""
        count = self.layout.rows
        before = (self.head[member] - 1) % count
        # The observation at the head stays, as the last one.
        running = self.outcomes[member, before, self._copies, VALID] > 0
        if bool(running.any()):
            self.head[member] = (self.head[member] + running) % count
            self.held[member] = (self.held[member] + 1).clamp(max=count - 1)
            self._settle(member)
        if self.ages is not None:
            self.ages[member, self.head[member], self._copies] = 0

    @torch.no_grad()
    def empty(self, member: int) -> None:
        """Forgets all transitions of a member; running episodes continue."""
        self.held[member] = self.live[member] = 0
        self.outcomes[member, ..., VALID] = 0.0
        self.highest[member] = 1.0
        if self.trees is not None:
            self.trees.clear(member)


def _put(table: torch.Tensor, places: torch.Tensor, values: torch.Tensor) -> None:
    """Writes values (..., M, E, *rest) into places of a table (M, R, E, *rest)."""
    flat = table.flatten(0, 2)
    flat.index_copy_(0, places, values.reshape(-1, *flat.shape[1:]))
