"""What DQN and SAC of M members share: a replay buffer, updates from it, target networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from rltune.engine.population.captured import Captured, Transfer
from rltune.engine.population.learner import BatchLearner, Members, Part
from rltune.engine.population.normalisation import Reader
from rltune.engine.population.off_policy_shape import Batch, OffPolicyShape
from rltune.engine.population.replay import Replay
from rltune.engine.population.replay_layout import ReplayLayout
from rltune.engine.population.streams import Streams
from rltune.engine.population.updates_owed import UpdatesOwed
from rltune.engine.population.weights import Layout, Weights

#: Bytes of a member's observations drawn at a time, where draws do not depend on updates.
DRAW_BYTES = 1 << 20
#: Added to a member's seed for the stream that its transitions are drawn by.
DRAWS = 1 << 40


class OffPolicyLearner(BatchLearner):
    """Acts, fills a replay buffer, and updates from it.

    Each member does as many updates as its own ``training_intensity`` asks for, from its own end
    of warm-up on: in an update that it is not due for nothing of it changes.

    Args:
        shape: what members have in common.
        layout: of the buffer, see :meth:`OffPolicyShape.layout`.
        reader: of observations.
        targets: name of the target network's copy among a member's weights, by that of the weight.

    Attributes:
        replay: the buffers.
        target: weights of the target networks, by the names of the trained ones.
        clock: environment steps of each member at its last round, int64, shape (M, 1).
        moved: the same when its target network moved, int64, shape (M, 1).
        updates: how many each member owes, on the host.
    """

    HYPERPARAMETERS: ClassVar[tuple[str, ...]] = (
        "gamma",
        "tau",
        "target_network_update_freq",
        "n_step",
        "training_intensity",
        "num_steps_sampled_before_learning_starts",
        "prioritized_replay_alpha",
        "prioritized_replay_beta",
        "grad_clip",
    )

    def __init__(
        self,
        members: Members,
        parts: Sequence[Part],
        shape: OffPolicyShape,
        layout: ReplayLayout,
        reader: Reader,
        targets: Mapping[str, str],
        clip_by: str = "global_norm",
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(members, parts, clip_by, epsilon)
        self.shape: OffPolicyShape = shape
        self.reader = reader
        self.replay = Replay(
            len(self), layout, shape.steps, self.device, self.dtype, shape.within_step
        )
        self.draws = Streams([seed + DRAWS for seed in members.seeds], self.device)
        self._make_targets(members, targets)
        self.updates = UpdatesOwed(len(self), shape)
        self._allocate(layout)
        self._act = Captured(self._act_once, self._acting_state, self.graphs)
        self._keep_last = Captured(self._keep_last_once, list, self.graphs)
        self._write = Captured(self._write_once, self._writing_state, self.graphs)
        self._draw = Captured(self._draw_once, lambda: [self.draws.counts], self.graphs)
        self._update = Captured(self._update_once, self._updating_state, self.graphs)

    def _make_targets(self, members: Members, targets: Mapping[str, str]) -> None:
        self._targets = targets
        order = [name for name in self.weights.layout.shapes if name in targets]
        self._copied = self.weights.layout.span(order)
        named = [{name: weights[targets[name]] for name in order} for weights in members.weights]
        layout = Layout.of(named[0])
        self.target = Weights.stacked(named, layout, self.device, self.dtype).copy()

    def _allocate(self, layout: ReplayLayout) -> None:
        shape, members, device = self.shape, len(self), self.device

        def zeros(*size: int, dtype: torch.dtype = self.dtype) -> torch.Tensor:
            return torch.zeros(*size, device=device, dtype=dtype)

        copies = (members, shape.copies)
        self._now = zeros(*copies, *layout.obs_shape, dtype=layout.obs_dtype)
        self._chosen = zeros(*copies, *layout.action_shape, dtype=layout.action_dtype)
        self._outcomes = zeros(4, shape.steps, *copies)
        #: Each member's clock, and the updates that it does in this round.
        self._round = zeros(2, members, 1, dtype=torch.int64)
        self.clock, self._wanted = self._round
        self.moved = torch.zeros_like(self.clock)
        self._turn = zeros(1, dtype=torch.int64)
        size = shape.minibatch * layout.transition_nbytes()
        self._at_once = 1 if shape.prioritized else min(shape.at_once, max(1, DRAW_BYTES // size))
        drawn = (self._at_once, members, shape.minibatch)
        self._places = zeros(*drawn, dtype=torch.int64)
        self._drawn = {
            "obs": zeros(*drawn, *layout.obs_shape, dtype=layout.obs_dtype),
            "next_obs": zeros(*drawn, *layout.obs_shape, dtype=layout.obs_dtype),
            "actions": zeros(*drawn, *layout.action_shape, dtype=layout.action_dtype),
            "numbers": zeros(self._at_once, 3, members, shape.minibatch),
        }
        self._seen, self._acted = Transfer(self._now), Transfer(self._chosen)
        self._ended = Transfer(self._now)
        self._came, self._told = Transfer(self._outcomes), Transfer(self._round)

    # Acting ------------------------------------------------------------------------------------

    @abstractmethod
    def explore(self, obs: torch.Tensor) -> torch.Tensor:
        """Actions (M, E, ...) for observations (M, E, ...); called without gradients."""

    def act(self, obs: np.ndarray) -> np.ndarray:
        """See :class:`BatchLearner`."""
        self._seen.send(obs)
        self._act()
        return self._acted.receive()

    def play(self, obs: np.ndarray) -> np.ndarray:
        """See :class:`BatchLearner`."""
        found = self.act(obs)
        self.replay.step.zero_()
        return found

    def see_last(self, obs: np.ndarray, outcomes: np.ndarray) -> None:
        """See :class:`BatchLearner`."""
        self._ended.send(obs)
        self._keep_last()

    def _keep_last_once(self) -> None:
        self.replay.put_last(self._now)

    def acting(self) -> list[torch.Tensor]:
        """The streams."""
        return [self.streams.counts]

    @torch.no_grad()
    def _act_once(self) -> None:
        self._chosen.copy_(self.explore(self._now))
        self.replay.put(self._now, self._chosen)

    def _acting_state(self) -> list[torch.Tensor]:
        return [self.streams.counts, self.replay.step]

    # Updating ----------------------------------------------------------------------------------

    @abstractmethod
    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """RLlib's loss of each member (M,), and absolute TD errors (M, N)."""

    def learn(self, obs: np.ndarray, outcomes: np.ndarray, env_steps: np.ndarray) -> None:
        """Stores the steps, then updates. See :class:`BatchLearner`.

        Raises:
            ValueError: a member's ``n_step`` is above the batch's.
        """
        if (self.hyper.given["n_step"] > self.shape.n_step).any():
            raise ValueError(f"n_step is at most {self.shape.n_step} in this batch")
        updates = self.updates.due(outcomes[3].sum((0, 2)), self.hyper.given)
        self._seen.send(obs)
        self._came.send(outcomes)
        self._told.send(np.stack([env_steps, updates]))
        self._write()
        for turn in range(int(updates.max())):
            if turn % self._at_once == 0:
                self._draw()
            self._update()

    @torch.no_grad()
    def _write_once(self) -> None:
        places = self.replay.write(self._outcomes, self._now)
        if self.reader.moments is not None:
            # Nothing of a member that takes no part may change.
            counted = self.replay.valid(places) & self.alive
            self.reader.update(self.replay.read_obs(places), counted)
        self._turn.zero_()

    def _writing_state(self) -> list[torch.Tensor]:
        return [*self.replay.counters(), *self._moments().values()]

    @torch.no_grad()
    def _draw_once(self) -> None:
        """Draws the transitions of the next updates."""
        shape, replay, hyper = self.shape, self.replay, self.hyper
        before = self.draws.counts.clone()
        if shape.prioritized:
            beta = hyper["prioritized_replay_beta"]
            places, weights = replay.draw_by_priority(self.draws, shape.minibatch, beta)
        else:
            places, weights = replay.draw(self.draws, self._at_once, shape.minibatch)
        rewards, discounts, following = replay.look_ahead(
            places, shape.n_step, hyper["n_step"], hyper["gamma"], shape.clip_rewards
        )
        self._places.copy_(places)
        drawn = self._drawn
        drawn["obs"].copy_(replay.read_obs(places))
        drawn["next_obs"].copy_(replay.read_obs(following))
        drawn["actions"].copy_(replay.read_actions(places))
        torch.stack([rewards, discounts, weights], 1, out=drawn["numbers"])
        # A stream moves on by what its member uses, whatever the others do.
        used = (self._wanted - self._turn).clamp(0, self._at_once)[:, 0]
        self.draws.counts.copy_(before + (self.draws.counts - before) // self._at_once * used)

    def _update_once(self) -> None:
        """One update of the members that are due, and have not diverged."""
        due = (self._wanted > self._turn) & self.alive
        self.counted.copy_(due)
        with self.streams.only(due[:, 0]):
            losses, errors = self.losses(self._next_batch())
        self.apply(losses, due)
        with torch.no_grad():
            self._move_targets(due)
            if self.shape.prioritized:
                alpha = self.hyper["prioritized_replay_alpha"]
                self.replay.set_priorities(self._places[0], errors.detach(), alpha, due)
            self._turn.add_(1)

    @torch.no_grad()
    def _next_batch(self) -> Batch:
        if self._at_once == 1 or self._turn.is_cpu:
            at = int(self._turn) % self._at_once if self._at_once > 1 else 0
            drawn = {name: each[at] for name, each in self._drawn.items()}
        else:
            turn = self._turn % self._at_once
            drawn = {name: each.index_select(0, turn)[0] for name, each in self._drawn.items()}
        return Batch(drawn["obs"], drawn["next_obs"], drawn["actions"], *drawn["numbers"])

    def _move_targets(self, due: torch.Tensor) -> None:
        passed = self.clock - self.moved >= self.hyper["target_network_update_freq"]
        due = due & passed
        if due.is_cpu and not due.any():
            return
        share = self.hyper["tau"] * due
        self.target.flat.lerp_(self.weights.flat[:, self._copied], share)
        self.moved.copy_(torch.where(due, self.clock, self.moved))

    def _updating_state(self) -> list[torch.Tensor]:
        trees = self.replay.trees
        priorities = [self.replay.highest, *trees.levels] if trees else []
        return [*self.tensors().values(), self.alive, self.faults, self._turn, *priorities]

    # Continuing --------------------------------------------------------------------------------

    def tensors(self) -> dict[str, torch.Tensor]:
        """See :class:`BatchLearner`. The buffers are not among them: see :attr:`replay`."""
        found = {**self.shared_tensors(), **self._moments()}
        return found | {
            "streams/draws": self.draws.counts,
            "target": self.target.flat,
            "moved": self.moved,
        }

    def _moments(self) -> dict[str, torch.Tensor]:
        moments = self.reader.moments
        named = {} if moments is None else moments.tensors
        return {f"observation_filter.{name}": each for name, each in named.items()}

    def network(self) -> dict[str, torch.Tensor]:
        """See :class:`BatchLearner`."""
        copies = {self._targets[name]: view for name, view in self.target.views.items()}
        return {**super().network(), **copies, **self._moments()}

    def reset_member(self, member: int) -> None:
        """See :class:`BatchLearner`. Its buffer is empty."""
        super().reset_member(member)
        self.replay.empty(member)

    def restart_member(self, member: int, seed: int, env_steps: int) -> None:
        """See :class:`BatchLearner`. The target network's interval counts from here.

        What is in the buffer stays there, as that of other episodes.
        """
        super().restart_member(member, seed, env_steps)
        self.draws.reseed(member, seed + DRAWS)
        self.clock[member] = self.moved[member] = env_steps
        self.updates.restart(member, self.replay.count(member))

    def leave_episodes(self, member: int) -> None:
        """What follows in the buffer is no continuation."""
        self.replay.leave(member)

    def start(self, members: Sequence[int]) -> None:
        """See :class:`BatchLearner`."""
        super().start(members)
        self.updates.stopped[list(members)] = False

    def stop(self, members: Sequence[int]) -> None:
        """See :class:`BatchLearner`."""
        super().stop(members)
        self.updates.stopped[list(members)] = True

    @torch.no_grad()
    def copy_members(self, donors: Sequence[int], clones: Sequence[int]) -> None:
        """See :class:`BatchLearner`. The target network's interval counts from now on."""
        super().copy_members(donors, clones)
        target = torch.tensor(clones, device=self.device)
        self.moved[target] = self.clock[target]

    def memory(self, member: int) -> dict[str, Any]:
        """What a member remembers: transitions held, and those lacking until updates begin."""
        return {
            "transitions": self.replay.count(member),
            "warm_up_left": int(self.updates.warm_up_left(self.hyper.given)[member]),
        }
