"""PPO (Schulman et al. 2017) of M members at once, with RLlib's loss."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from rltune.engine.population.actor_critic import ActorCritic
from rltune.engine.population.captured import Captured, Transfer
from rltune.engine.population.distributions import Categorical
from rltune.engine.population.learner import BatchLearner, Members, Part
from rltune.engine.population.noise import CorrelatedNoise
from rltune.engine.population.normalisation import Moments, Reader, RewardScale, clipped
from rltune.engine.population.ppo_shape import PPOShape


class PPO(BatchLearner):
    """Acts, keeps what was seen, and updates.

    Rows of one environment step are those of all copies of all members. The observation after a
    step is that of the next row, but for an episode's last one where new episodes begin within the
    step. Rows that a reset took are not learned from.

    Args:
        net: the networks.
        reader: of observations.
        obs_shape, obs_dtype: of one observation.
    """

    HYPERPARAMETERS: ClassVar[tuple[str, ...]] = (
        "lr",
        "gamma",
        "lambda_",
        "clip_param",
        "entropy_coeff",
        "vf_loss_coeff",
        "vf_clip_param",
        "kl_target",
        "grad_clip",
        "noise_correlation",
    )

    def __init__(
        self,
        members: Members,
        net: ActorCritic,
        shape: PPOShape,
        reader: Reader,
        obs_shape: tuple[int, ...],
        obs_dtype: torch.dtype = torch.float32,
        clip_by: str = "global_norm",
    ) -> None:
        super().__init__(
            members, [Part("default_optimizer", "lr", net.weights)], clip_by, epsilon=1e-8
        )
        self.net, self.shape, self.reader = net, shape, reader
        self.kl_coeff = torch.zeros(len(self), 1, device=self.device, dtype=self.dtype)
        self.scale = (
            RewardScale(len(self), shape.copies, self.device) if shape.normalize_rewards else None
        )
        self._allocate(obs_shape, obs_dtype)
        self._act = Captured(self._act_once, self._acting_state, self.graphs)
        self._rate_last = Captured(self._rate_last_once, list, self.graphs)
        self._prepare = Captured(self._prepare_once, self._updating_state, self.graphs)
        self._minibatch = Captured(self._update_once, self._updating_state, self.graphs)
        self._end = Captured(self._end_once, self._updating_state, self.graphs)
        self._seen, self._acted = Transfer(self._now), Transfer(self._chosen)
        self._ended, self._came = Transfer(self._now), Transfer(self.outcomes)

    def _allocate(self, obs_shape: tuple[int, ...], obs_dtype: torch.dtype) -> None:
        shape, family = self.shape, self.net.family
        steps, copies, members = shape.steps, shape.copies, len(self)

        def zeros(*size: int, dtype: torch.dtype = self.dtype) -> torch.Tensor:
            return torch.zeros(*size, device=self.device, dtype=dtype)

        self._now = zeros(members, copies, *obs_shape, dtype=obs_dtype)
        self._chosen = zeros(members, copies, *family.action_shape, dtype=family.action_dtype)
        self._noise = CorrelatedNoise(
            members, copies, *family.action_shape, device=self.device, dtype=self.dtype
        )
        self._t = zeros(1, dtype=torch.int64)
        self.obs = zeros(steps + 1, members, copies, *obs_shape, dtype=obs_dtype)
        self.actions = zeros(
            steps, members, copies, *family.action_shape, dtype=family.action_dtype
        )
        self.outputs = zeros(steps, members, copies, family.width)
        self.log_probs = zeros(steps, members, copies)
        #: Rewards, and whether the task ended, the episode ended, and the row is experience.
        self.outcomes = zeros(4, steps, members, copies)
        #: Values of the last observations of episodes that were cut off within a step.
        self.last_values = zeros(steps, members, copies)
        rows = steps * copies
        #: One row a transition and an empty one behind them; see :meth:`_prepare_once`.
        self._obs_rows = zeros(members, rows + 1, *obs_shape, dtype=obs_dtype)
        self._rows = zeros(members, rows + 1, self._width)
        size = -(-rows // shape.parts)
        self._orders = torch.zeros(
            shape.epochs * shape.parts, members, size, device=self.device, dtype=torch.int64
        )
        self._turn = zeros(1, dtype=torch.int64)
        self._places = _even_parts(rows, shape.parts).to(self.device)

    @property
    def _width(self) -> int:
        """Numbers in a row beside its observation: see :meth:`_columns`."""
        family = self.net.family
        actions = int(np.prod(family.action_shape)) if family.action_shape else 1
        return actions + family.width + 4

    # Acting ------------------------------------------------------------------------------------

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions (M, E, ...) for observations (M, E, ...)."""
        self._seen.send(obs)
        self._act()
        return self._acted.receive()

    def play(self, obs: np.ndarray) -> np.ndarray:
        """See :class:`BatchLearner`."""
        found = self.act(obs)
        self._t.zero_()
        return found

    def see_last(self, obs: np.ndarray, outcomes: np.ndarray) -> None:
        """See :class:`BatchLearner`. Values them at once: there is no need to keep them."""
        _, terminated, done, _ = outcomes
        if (done > terminated).any():
            self._ended.send(obs)
            self._rate_last()

    @torch.no_grad()
    def _rate_last_once(self) -> None:
        values = self._values(self._now)
        self.last_values.index_copy_(0, self._t - 1, values.unsqueeze(0))

    def acting(self) -> list[torch.Tensor]:
        """The streams and the noise."""
        return [self.streams.counts, *self._noise.state]

    def leave_episodes(self, member: int) -> None:
        """Restarts noise and the sums of rewards."""
        self._noise.restart(member)
        if self.scale is not None:
            self.scale.running[member] = 0.0

    @torch.no_grad()
    def _act_once(self) -> None:
        net, weights = self.net, self.weights.views
        features = net.shared(self.reader(self._now), weights)
        outputs = self.reader.allow(self._now, net.outputs(features, weights))
        if isinstance(net.family, Categorical):
            actions = net.family.sample(outputs, self.streams)
        else:
            mean, log_std = outputs.chunk(2, -1)
            noise = self._noise.draw(self.streams, self.hyper["noise_correlation"])
            actions = mean + log_std.exp() * noise
        self._chosen.copy_(actions)
        for place, value in (
            (self.obs, self._now),
            (self.actions, self._chosen),
            (self.outputs, outputs),
            (self.log_probs, net.family.log_prob(outputs, actions)),
        ):
            place.index_copy_(0, self._t, value.unsqueeze(0).to(place.dtype))
        self._t.add_(1)

    def _acting_state(self) -> list[torch.Tensor]:
        return [*self.acting(), self._t]

    # Updating ----------------------------------------------------------------------------------

    def learn(self, obs: np.ndarray, outcomes: np.ndarray, env_steps: np.ndarray) -> None:
        """``epochs`` passes over the last ``steps`` steps, see :class:`BatchLearner`."""
        self._seen.send(obs)
        self._came.send(outcomes)
        self._prepare()
        for _ in range(self.shape.epochs * self.shape.parts):
            self._minibatch()
        self._end()

    @torch.no_grad()
    def _prepare_once(self) -> None:
        """Advantages, value targets, and the orders in which they are learned from."""
        shape, members = self.shape, len(self)
        steps, copies, rows = shape.steps, shape.copies, shape.steps * shape.copies
        self.obs[steps].copy_(self._now)
        rewards, terminated, done, valid = self.outcomes
        valid.mul_(self.alive)  # nothing of a member that takes no part may change
        rewards = clipped(rewards, shape.clip_rewards)
        if self.scale is not None:
            gamma = self.hyper["gamma"]
            rewards = self.scale.scaled(rewards, done.bool(), valid.bool(), gamma)
        seen = self.obs.transpose(0, 1).reshape(members, (steps + 1) * copies, *self.obs.shape[3:])
        values = self._values(seen).view(members, steps + 1, copies).transpose(0, 1)
        gamma, decay = self.hyper["gamma"], self.hyper["gamma"] * self.hyper["lambda_"]
        following = values[1:]
        if shape.within_step:
            following = torch.where(done > 0, self.last_values, following)
        # A row that is no experience ends what came before, and adds nothing to it.
        deltas = (rewards + gamma * following * (1 - terminated) - values[:-1]) * valid
        decay = decay * (1 - done) * valid
        advantages = torch.empty_like(deltas)
        running = torch.zeros_like(deltas[0])
        for t in reversed(range(steps)):
            running = deltas[t] + decay[t] * running
            advantages[t] = running
        columns = [
            self.actions.reshape(steps, members, copies, -1).to(self.dtype),
            self.outputs,
            self.log_probs.unsqueeze(-1),
            _standard(advantages, valid).unsqueeze(-1),
            (advantages + values[:-1]).unsqueeze(-1),
            valid.unsqueeze(-1),
        ]
        packed = torch.cat(columns, -1).transpose(0, 1).reshape(members, rows, -1)
        self._rows[:, :rows] = packed
        self._obs_rows[:, :rows] = seen[:, :rows]
        if shape.parts > 1:
            self._draw_orders()
        self._turn.zero_()

    def _draw_orders(self) -> None:
        shape, rows = self.shape, self.shape.steps * self.shape.copies
        empty = torch.full((len(self), 1), rows, device=self.device)
        for epoch in range(shape.epochs):
            order = torch.cat([self.streams.orders(rows), empty], 1)[:, self._places]
            parts = order.view(len(self), shape.parts, -1).transpose(0, 1)
            self._orders[epoch * shape.parts : (epoch + 1) * shape.parts] = parts

    def _values(self, obs: torch.Tensor) -> torch.Tensor:
        weights = self.weights.views
        return self.net.values(self.net.shared(self.reader(obs), weights), weights)

    def _update_once(self) -> None:
        """One update on the next minibatch."""
        obs, rows = self._next_minibatch()
        losses = self.losses(obs, self._columns(rows))
        self.apply(losses)
        with torch.no_grad():
            self._turn.add_(1)

    @torch.no_grad()
    def _next_minibatch(self) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self._rows.shape[1]
        if self.shape.parts == 1:  # one minibatch of everything needs no order
            return self._obs_rows[:, : rows - 1], self._rows[:, : rows - 1]
        chosen = self._orders.index_select(0, self._turn)[0]
        members = torch.arange(len(self), device=self.device).unsqueeze(1)
        places = (members * rows + chosen).flatten()
        return tuple(  # type: ignore[return-value]
            table.flatten(0, 1).index_select(0, places).view(*chosen.shape, *table.shape[2:])
            for table in (self._obs_rows, self._rows)
        )

    def _columns(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """The columns of rows (M, N, width) by name."""
        family = self.net.family
        actions = self._width - family.width - 4
        acted, outputs, *single = torch.split(rows, [actions, family.width, 1, 1, 1, 1], -1)
        names = ("log_probs", "advantages", "value_targets", "valid")
        columns = {name: each.squeeze(-1) for name, each in zip(names, single, strict=True)}
        acted = acted if family.action_shape else acted.squeeze(-1)
        return {"actions": acted, "outputs": outputs, **columns}

    def losses(self, obs: torch.Tensor, rows: dict[str, torch.Tensor]) -> torch.Tensor:
        """RLlib's loss of each member, shape (M,).

        Args:
            obs: shape (M, N, ...).
            rows: columns (M, N, ...): ``actions``, ``outputs`` and ``log_probs`` of the policy that
                took them, ``advantages``, ``value_targets``, and 1 where a row is ``valid``.
        """
        net, weights, hyper = self.net, self.weights.views, self.hyper
        share = rows["valid"] / rows["valid"].sum(1, keepdim=True).clamp_min(1)
        features = net.shared(self.reader(obs), weights)
        outputs = self.reader.allow(obs, net.outputs(features, weights))
        ratio = (net.family.log_prob(outputs, rows["actions"]) - rows["log_probs"]).exp()
        clip, advantages = hyper["clip_param"], rows["advantages"]
        clipped = torch.minimum(torch.maximum(ratio, 1 - clip), 1 + clip)
        surrogate = torch.minimum(advantages * ratio, advantages * clipped)
        entropy = net.family.entropy(outputs)
        loss = -surrogate - hyper["entropy_coeff"] * entropy
        told = {"policy_loss": -surrogate, "entropy": entropy}
        if self.shape.use_critic:
            values = net.values(features, weights)
            errors = (values - rows["value_targets"]).square()
            errors = torch.minimum(errors, hyper["vf_clip_param"])
            loss = loss + hyper["vf_loss_coeff"] * errors
            told["vf_loss"] = errors
            self.keep(explained_variance=_explained(rows["value_targets"], values, share))
        if self.shape.use_kl:
            moved = net.family.divergence(rows["outputs"], outputs)
            loss = loss + self.kl_coeff * moved
        else:
            with torch.no_grad():
                moved = net.family.divergence(rows["outputs"], outputs)
        told["kl"] = moved
        self.keep(**{name: (each.detach() * share).sum(1) for name, each in told.items()})
        return (loss * share).sum(1)

    @torch.no_grad()
    def _end_once(self) -> None:
        """After the updates: what moves once a round, and the filter."""
        if self.shape.use_kl:
            moved, target = self.numbers["kl"].unsqueeze(1), self.hyper["kl_target"]
            factor = torch.where(moved > 2 * target, 1.5, torch.where(moved < 0.5 * target, 0.5, 1))
            self.kl_coeff.mul_(torch.where(self.alive, factor, 1))
        # Not before: the actions were chosen by the filter as it was.
        steps, members = self.shape.steps, len(self)
        if self.reader.moments is not None:
            seen = self.obs[:steps].transpose(0, 1).reshape(members, -1, *self.obs.shape[3:])
            valid = self.outcomes[3].transpose(0, 1).reshape(members, -1).bool()
            self.reader.update(seen, valid)
        self.last_values.zero_()
        self._t.zero_()

    def _updating_state(self) -> list[torch.Tensor]:
        running = [] if self.scale is None else [self.scale.running]
        return [*self.tensors().values(), self.alive, self.faults, self._turn, self._t, *running]

    def tensors(self) -> dict[str, torch.Tensor]:
        """See :class:`BatchLearner`."""
        return {**self.shared_tensors(), **self._moments(), "kl_coeff": self.kl_coeff}

    def network(self) -> dict[str, torch.Tensor]:
        """The moments too, which are in RLlib's networks."""
        return {**super().network(), **self._moments()}

    def _moments(self) -> dict[str, torch.Tensor]:
        moments: dict[str, Moments | None] = {
            "observation_filter": self.reader.moments,
            "reward_scale": None if self.scale is None else self.scale.moments,
        }
        return {
            f"{name}.{key}": value
            for name, held in moments.items()
            if held is not None
            for key, value in held.tensors.items()
        }


def _standard(advantages: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Advantages (T, M, E) at mean 0 and spread 1 over each member's valid rows."""
    count = valid.sum((0, 2), keepdim=True).clamp_min(1)
    centred = advantages - (advantages * valid).sum((0, 2), keepdim=True) / count
    spread = ((centred.square() * valid).sum((0, 2), keepdim=True) / count).sqrt()
    return centred / spread.clamp_min(1e-4)


def _explained(targets: torch.Tensor, values: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Explained variance (M,), at least -1, as RLlib has it."""

    def variance(each: torch.Tensor) -> torch.Tensor:
        mean = (each * share).sum(1, keepdim=True)
        return ((each - mean).square() * share).sum(1)

    with torch.no_grad():
        return (1 - variance(targets - values) / (variance(targets) + 1e-8)).clamp_min(-1)


def _even_parts(rows: int, parts: int) -> torch.Tensor:
    """Places (parts * size,) in an order of rows, part by part; ``rows`` fills short ones."""
    size = -(-rows // parts)
    chunks: list[Any] = [chunk.tolist() for chunk in torch.arange(rows).tensor_split(parts)]
    return torch.tensor([place for chunk in chunks for place in [*chunk, rows][:size]])
