"""SAC (Haarnoja et al. 2018b, arXiv 1812.05905) of M members at once, with RLlib's losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional

from rltune.engine.population.distributions import squashed
from rltune.engine.population.layers import Stack
from rltune.engine.population.learner import Members, Part
from rltune.engine.population.noise import CorrelatedNoise
from rltune.engine.population.normalisation import Reader
from rltune.engine.population.off_policy import OffPolicyLearner
from rltune.engine.population.off_policy_shape import Batch, OffPolicyShape
from rltune.engine.population.replay_layout import ReplayLayout
from rltune.engine.population.weights import Views, Weights

#: Where the logs of the spreads are clipped, as in RLlib.
LOG_STD = (-5.0, 2.0)
#: Name of the logarithm of the temperature among a member's weights, shape (1,).
LOG_ALPHA = "log_alpha"
#: Added to the root of Adam's second average: RLlib's for SAC.
EPSILON = 1e-7


@dataclass(frozen=True)
class Critic:
    """A network that values actions.

    Attributes:
        seen: reads the observation alone, as an image's convolutions do; or no layers.
        joint: reads the outcome and the action as one vector.
        weights: names of its weights, in the order of RLlib's optimiser.
    """

    seen: Stack
    joint: Stack
    weights: tuple[str, ...]

    def __call__(self, obs: torch.Tensor, actions: torch.Tensor, weights: Views) -> torch.Tensor:
        """Values (M, N) of actions (M, N, A) at observations (M, N, ...)."""
        joined = torch.cat([self.seen(obs, weights), actions], -1)
        return self.joint(joined, weights).squeeze(-1)


@dataclass(frozen=True)
class SACNetworks:
    """SAC's networks.

    Attributes:
        policy: observations to means and logs of spreads.
        critics: one or two.
        actions: numbers in an action, A.
        weights: names of the policy's weights, in the order of RLlib's optimiser.
    """

    policy: Stack
    critics: tuple[Critic, ...]
    actions: int
    weights: tuple[str, ...]

    @property
    def parts(self) -> list[Part]:
        """RLlib's optimisers, in its order."""
        critics = zip(("qf", "qf_twin"), self.critics, strict=False)
        return [
            *(Part(name, "critic_lr", critic.weights) for name, critic in critics),
            Part("policy", "actor_lr", self.weights),
            Part("alpha", "alpha_lr", (LOG_ALPHA,)),
        ]

    @property
    def targets(self) -> dict[str, str]:
        """Name of the target networks' copy of each of the critics' weights."""
        return {name: f"target_{name}" for critic in self.critics for name in critic.weights}

    def outputs(self, obs: torch.Tensor, weights: Views) -> torch.Tensor:
        """Means and logs of spreads (M, N, 2 A) at observations (M, N, ...)."""
        mean, log_std = self.policy(obs, weights).chunk(2, -1)
        return torch.cat([mean, log_std.clamp(*LOG_STD)], -1)

    def sample(
        self, obs: torch.Tensor, weights: Views, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions (M, N, A) in [-1, 1] and their log-probabilities (M, N).

        Args:
            noise: standard normal, shape (M, N, A).
        """
        outputs = self.outputs(obs, weights)
        mean, log_std = outputs.chunk(2, -1)
        return squashed(mean + log_std.exp() * noise, outputs)

    def values(self, obs: torch.Tensor, actions: torch.Tensor, weights: Views) -> torch.Tensor:
        """The lower of the critics' values (M, N)."""
        values = [critic(obs, actions, weights) for critic in self.critics]
        return values[0] if len(values) == 1 else torch.minimum(*values)


@dataclass(frozen=True)
class SACShape(OffPolicyShape):
    """What all members of a batch have in common.

    Attributes:
        squared: whether the critics' loss is the squared error; the Huber loss otherwise.
    """

    squared: bool = False


class SAC(OffPolicyLearner):
    """Samples actions from squashed Gaussians.

    Args:
        net: the networks.

    Attributes:
        log_alpha: logarithm of each member's temperature, shape (M, 1).
    """

    HYPERPARAMETERS: ClassVar[tuple[str, ...]] = (
        *OffPolicyLearner.HYPERPARAMETERS,
        "actor_lr",
        "critic_lr",
        "alpha_lr",
        "target_entropy",
        "noise_correlation",
    )
    shape: SACShape

    def __init__(
        self,
        members: Members,
        net: SACNetworks,
        shape: SACShape,
        layout: ReplayLayout,
        reader: Reader,
        clip_by: str = "global_norm",
    ) -> None:
        self._noise = CorrelatedNoise(
            len(members), shape.copies, net.actions, device=members.device, dtype=members.dtype
        )
        super().__init__(members, net.parts, shape, layout, reader, net.targets, clip_by, EPSILON)
        self.net = net
        self.log_alpha = self.weights.views[LOG_ALPHA].detach()
        #: The weights as the actor's loss sees the critics: it has no gradient of theirs.
        self._constant = Weights(self.weights.layout, self.weights.flat, trained=False).views

    def network(self) -> dict[str, torch.Tensor]:
        """See :class:`BatchLearner`. The temperature is in no network."""
        found = super().network()
        del found[LOG_ALPHA]
        return found

    def leave_episodes(self, member: int) -> None:
        """Its noise starts again too."""
        super().leave_episodes(member)
        self._noise.restart(member)

    def explore(self, obs: torch.Tensor) -> torch.Tensor:
        """See :class:`OffPolicyLearner`."""
        noise = self._noise.draw(self.streams, self.hyper["noise_correlation"])
        return self.net.sample(self.reader(obs), self.weights.views, noise)[0]

    def acting(self) -> list[torch.Tensor]:
        """The noise too."""
        return [*super().acting(), *self._noise.state]

    def _acting_state(self) -> list[torch.Tensor]:
        return [*super()._acting_state(), *self._noise.state]

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`OffPolicyLearner`."""
        size = (2, batch.rewards.shape[1], self.net.actions)
        return self.losses_with(self.streams.normal(*size, dtype=self.dtype), batch)

    def losses_with(self, noise: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum of the losses of critics, actor and temperature; see :meth:`losses`.

        No weight gets a gradient from two of them: the gradient of the sum has those of each.

        Args:
            noise: standard normal, of the actions at ``obs`` and at ``next_obs``, (M, 2, N, A).
        """
        net, weights = self.net, self.weights.views
        obs, log_alpha = self.reader(batch.obs), weights[LOG_ALPHA]
        alpha = log_alpha.detach().exp()
        targets = self._target_values(batch, noise[:, 1], alpha)
        values = [critic(obs, batch.actions, weights) for critic in net.critics]
        critics = [(batch.weights * self._errors(each, targets)).mean(1) for each in values]
        actions, log_probs = net.sample(obs, weights, noise[:, 0])
        rated = net.values(obs, actions, self._constant)
        actor = (alpha * log_probs - rated).mean(1)
        lacking = (log_probs.detach() + self._target_entropy()).mean(1)
        temperature = -log_alpha.squeeze(1) * lacking
        with torch.no_grad():
            distances = torch.stack([(each - targets).abs() for each in values]).mean(0)
            self.keep(
                policy_loss=actor,
                qf_loss=critics[0],
                alpha_loss=temperature,
                alpha=alpha.squeeze(1),
                entropy=-log_probs.mean(1),
                q_mean=rated.mean(1),
                td_error=distances.mean(1),
            )
        return torch.stack([*critics, actor, temperature]).sum(0), distances

    @torch.no_grad()
    def _target_values(
        self, batch: Batch, noise: torch.Tensor, alpha: torch.Tensor
    ) -> torch.Tensor:
        """What the critics are drawn to (equation 3 of the paper), shape (M, N)."""
        obs = self.reader(batch.next_obs)
        actions, log_probs = self.net.sample(obs, self.weights.views, noise)
        values = self.net.values(obs, actions, self.target.views) - alpha * log_probs
        return batch.rewards + batch.discounts * values

    def _errors(self, values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.shape.squared:
            return (values - targets).square() / 2
        return functional.huber_loss(values, targets, reduction="none")

    def _target_entropy(self) -> torch.Tensor:
        """Shape (M, 1); infinity stands for minus the number of actions."""
        target = self.hyper["target_entropy"]
        return torch.where(target.isinf(), -float(self.net.actions), target)
