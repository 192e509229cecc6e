"""A replay buffer of all members on the device: uniform or prioritised, n-step, stacked frames."""

from __future__ import annotations

import torch

from rltune.engine.population.normalisation import clipped
from rltune.engine.population.replay_rows import REWARD, TERMINATED, ReplayRows
from rltune.engine.population.streams import Streams
from rltune.engine.replay_buffer import Priorities


class Replay(ReplayRows):
    """The newest transitions of each member's copies, and draws from them."""

    def draw(self, streams: Streams, batches: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws ``batches`` times ``count`` transitions of each member, uniformly.

        Returns:
            their places, and 1 for each, or 0 where the member holds none; both of shape
            (batches, M, count).
        """
        uniform = streams.uniform(batches, count, dtype=torch.float64).flatten(1)
        ends = self.live.cumsum(1)
        ranks = (uniform * ends[:, -1:]).long()
        copies = torch.searchsorted(ends, ranks, right=True).clamp_(max=self.layout.copies - 1)
        back = ends.gather(1, copies) - ranks  # the newest transition of a copy is 1 back
        at = (self._added.gather(1, copies) - back) % self.layout.rows
        rows = self._read(self.order, at * self.layout.copies + copies)
        places = (rows * self.layout.copies + copies).view(-1, batches, count).transpose(0, 1)
        return places, (ends[:, -1:] > 0).to(self.dtype).expand(places.shape)

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
            return clipped(outcomes[..., REWARD], clip), discounts, (places + copies) % self._size
        steps = torch.arange(longest, device=places.device)
        each = (places.unsqueeze(-1) + steps * copies) % self._size
        outcomes = self._read(self.outcomes, each.flatten(2)).view(*each.shape, 4)
        rewards, terminated, done, valid = outcomes.unbind(-1)
        continues = ((1 - done[..., :-1]) * valid[..., 1:]).cumprod(-1)
        counted = torch.cat([torch.ones_like(rewards[..., :1]), continues], -1)
        counted = counted * (steps < n_step.unsqueeze(-1))
        sums = clipped(rewards, clip) * counted * gamma.unsqueeze(-1) ** steps
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
