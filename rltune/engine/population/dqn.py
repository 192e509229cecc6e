"""DQN (Mnih et al. 2015), up to Rainbow (Hessel et al. 2018), of M members, with RLlib's loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional

from rltune.engine.population.direct import DirectStack
from rltune.engine.population.layers import Stack
from rltune.engine.population.learner import Members, Part
from rltune.engine.population.normalisation import Reader
from rltune.engine.population.off_policy import OffPolicyLearner
from rltune.engine.population.off_policy_shape import Batch, OffPolicyShape
from rltune.engine.population.replay_layout import ReplayLayout
from rltune.engine.population.streams import Streams
from rltune.engine.population.weights import Views


@dataclass(frozen=True)
class QNetwork:
    """DQN's network.

    Attributes:
        encoder: observations to features.
        advantage: features to a number an action and atom.
        value: features to a number, or None where the network is not dueling.
        actions: number of actions, A.
        weights: names of the trained weights, in the order of RLlib's optimiser.
        targets: name of the target network's copy of each.
        atoms: of the distribution of returns; 1 for their mean alone.
        v_min, v_max: returns of the lowest and the highest atom.
        noisy: whether it draws noise for its weights.
    """

    encoder: Stack
    advantage: Stack
    value: Stack | None
    actions: int
    weights: tuple[str, ...]
    targets: Mapping[str, str]
    atoms: int = 1
    v_min: float = 0.0
    v_max: float = 0.0
    noisy: bool = False

    def outputs(
        self, obs: torch.Tensor, weights: Views, streams: Streams | None = None
    ) -> torch.Tensor:
        """Q values (M, N, A) of observations (M, N, ...), or logits of atoms (M, N, A, atoms).

        Args:
            streams: of the noise of noisy layers; None for their mean weights.
        """
        features = self.encoder(obs, weights, streams)
        found = self.shaped(self.advantage(features, weights, streams))
        if self.value is None:
            return found
        value = self.value(features, weights, streams)
        # RLlib centres the logits of an action's atoms, not those of an atom's actions.
        centred = found - found.mean(-1, keepdim=True)
        return centred + (value.unsqueeze(-1) if self.atoms > 1 else value)

    def shaped(self, found: torch.Tensor) -> torch.Tensor:
        """What the head of advantages puts out, (M, N, A), with atoms (M, N, A, atoms)."""
        if self.atoms == 1:
            return found
        return found.view(*found.shape[:2], self.actions, self.atoms)

    def values(self, outputs: torch.Tensor) -> torch.Tensor:
        """Q values (M, N, A) of outputs."""
        if self.atoms == 1:
            return outputs
        return (outputs.softmax(-1) * self.support(outputs)).sum(-1)

    def support(self, like: torch.Tensor) -> torch.Tensor:
        """Returns of the atoms, shape (atoms,)."""
        atoms = torch.arange(self.atoms, device=like.device, dtype=like.dtype)
        return self.v_min + atoms * ((self.v_max - self.v_min) / (self.atoms - 1))


@dataclass(frozen=True)
class DQNShape(OffPolicyShape):
    """What all members of a batch have in common.

    Attributes:
        double: whether the trained network chooses the next action (van Hasselt et al. 2015).
        squared: whether the loss is the squared error; the Huber loss otherwise.
    """

    double: bool = False
    squared: bool = False


class DQN(OffPolicyLearner):
    """Epsilon-greedy, on Q values.

    Args:
        net: the network.
    """

    HYPERPARAMETERS: ClassVar[tuple[str, ...]] = (
        *OffPolicyLearner.HYPERPARAMETERS,
        "lr",
        "initial_epsilon",
        "final_epsilon",
        "epsilon_timesteps",
    )
    shape: DQNShape

    def __init__(
        self,
        members: Members,
        net: QNetwork,
        shape: DQNShape,
        layout: ReplayLayout,
        reader: Reader,
        clip_by: str = "global_norm",
    ) -> None:
        parts = [Part("default_optimizer", "lr", net.weights)]
        super().__init__(members, parts, shape, layout, reader, net.targets, clip_by)
        self.net = net
        self._noise = self.streams if net.noisy else None
        self._frozen: DirectStack | None = None
        if net.value is None:
            whole = net.encoder + net.advantage
            rows, views = shape.minibatch, self.weights.views
            self.direct = DirectStack.of(whole, views, rows, self.gradient_views)
            self._frozen = DirectStack.of(whole, self.target.views, rows)

    def explore(self, obs: torch.Tensor) -> torch.Tensor:
        """The best actions, or random ones with probability epsilon."""
        net, reader, hyper = self.net, self.reader, self.hyper
        outputs = self._trained_outputs(reader(obs))
        best = reader.allow(obs, net.values(outputs)).argmax(-1)
        choices = net.actions if reader.masked else 1
        uniform = self.streams.uniform(obs.shape[1], 1 + choices, dtype=torch.float64)
        which, chances = uniform[..., 1:], uniform[..., 0]
        if reader.masked:
            drawn = reader.allow(obs, which).argmax(-1)
        else:
            drawn = (which[..., 0] * net.actions).long()
        passed = (self.clock / hyper["epsilon_timesteps"]).clamp(max=1.0)
        first, last = hyper["initial_epsilon"], hyper["final_epsilon"]
        return torch.where(chances < first + (last - first) * passed, drawn, best)

    def _trained_outputs(self, obs: torch.Tensor, differentiated: bool = False) -> torch.Tensor:
        """Of the trained network, see :meth:`QNetwork.outputs`."""
        if self.direct is None:
            return self.net.outputs(obs, self.weights.views, self._noise)
        called = self.direct.leaf if differentiated else self.direct
        return self.net.shaped(called(obs))

    def memory(self, member: int) -> dict[str, Any]:
        """Epsilon too."""
        given, clock = self.hyper.given, int(self.clock[member])
        passed = min(1.0, clock / given["epsilon_timesteps"][member])
        first, last = given["initial_epsilon"][member], given["final_epsilon"][member]
        return {**super().memory(member), "epsilon": float(first + (last - first) * passed)}

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`OffPolicyLearner`."""
        net = self.net
        outputs = self._trained_outputs(self.reader(batch.obs), differentiated=True)
        with torch.no_grad():
            best, following = self._following(batch)
        if net.atoms > 1:
            chosen = _chosen(outputs, batch.actions)
            wanted = self._projected(batch, _chosen(following.softmax(-1), best))
            errors = -(wanted * chosen.log_softmax(-1)).sum(-1)
            losses, distances = errors, errors.detach()
            values = net.values(chosen.detach())
        else:
            values = outputs.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
            following = following.gather(-1, best.unsqueeze(-1)).squeeze(-1)
            targets = batch.rewards + batch.discounts * following
            loss = functional.mse_loss if self.shape.squared else functional.huber_loss
            losses = loss(values, targets, reduction="none")
            values = values.detach()
            distances = (values - targets).abs()
        found = (batch.weights * losses).mean(1)
        self.keep(qf_loss=found.detach(), q_mean=values.mean(1), td_error=distances.mean(1))
        return found, distances

    def _following(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The best next actions (M, N), and the target network's outputs there."""
        net, reader, obs = self.net, self.reader, batch.next_obs
        read = reader(obs)
        # Noise is drawn in RLlib's order.
        choosing = self._trained_outputs(read) if self.shape.double else None
        if self._frozen:
            outputs = net.shaped(self._frozen(read))
        else:
            outputs = net.outputs(read, self.target.views, self._noise)
        ratings = net.values(outputs if choosing is None else choosing)
        return reader.allow(obs, ratings).argmax(-1), outputs

    def _projected(self, batch: Batch, following: torch.Tensor) -> torch.Tensor:
        """The distribution of returns (M, N, atoms) on the support (Bellemare et al. 2017)."""
        net = self.net
        support = net.support(following)
        returns = batch.rewards.unsqueeze(-1) + batch.discounts.unsqueeze(-1) * support
        width = (net.v_max - net.v_min) / (net.atoms - 1)
        places = (returns.clamp(net.v_min, net.v_max) - net.v_min) / width
        atoms = torch.arange(net.atoms, device=places.device, dtype=places.dtype)
        # Each return is shared by the atoms next to it, by nearness.
        shares = (1 - (places.unsqueeze(-1) - atoms).abs()).clamp_min_(0)
        return (following.unsqueeze(-2) @ shares).squeeze(-2)


def _chosen(outputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """The atoms (M, N, atoms) of actions (M, N), of outputs (M, N, A, atoms)."""
    wanted = actions[..., None, None].expand(-1, -1, 1, outputs.shape[-1])
    return outputs.gather(2, wanted).squeeze(2)
