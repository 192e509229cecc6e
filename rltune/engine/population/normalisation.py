"""Running moments, observation filters and reward scales of every member at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rltune.engine.normalisation import CLIP, EPSILON, ILLEGAL


class Moments:
    """Running mean and variance of every member.

    The same numbers as :class:`rltune.engine.normalisation.RunningMoments` of each by itself.

    Attributes:
        mean, var: shape (M, *shape), float32.
        count: rows seen, float64, shape (M,).
    """

    def __init__(self, members: int, shape: tuple[int, ...], device: torch.device | str) -> None:
        self.mean = torch.zeros(members, *shape, device=device)
        self.var = torch.ones(members, *shape, device=device)
        self.count = torch.zeros(members, device=device, dtype=torch.float64)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Rows of its tensors, by name."""
        return {"mean": self.mean, "var": self.var, "count": self.count}

    @torch.no_grad()
    def update(self, rows: torch.Tensor, counted: torch.Tensor) -> None:
        """Adds rows (M, N, *shape) where ``counted``, bool (M, N), says so."""
        wide = (slice(None), *(None for _ in self.mean.shape[1:]))
        rows, weight = rows.double(), counted.double()[(..., *wide[1:])]
        new = counted.sum(1).double()
        some = new.clamp_min(1)[wide]
        mean = (rows * weight).sum(1) / some
        var = ((rows - mean.unsqueeze(1)).square() * weight).sum(1) / some
        share = (new / (self.count + new).clamp_min(1))[wide]
        delta = mean - self.mean
        spread = var * share + self.var * (1 - share) + delta.square() * share * (1 - share)
        seen = (new > 0)[wide]
        self.var.copy_(torch.where(seen, spread, self.var.double()))
        self.mean.add_(torch.where(seen, delta * share, 0.0))
        self.count.add_(new)


@dataclass(frozen=True)
class Reader:
    """Turns stored observations into a network's input.

    Attributes:
        divisor: of observations, see :func:`rltune.engine.codec.divisor`.
        moments: of the filter, or None.
        masked: length of an action mask at the end of an observation.
        images: whether observations are (height, width, channels).
        dtype: of the networks.
    """

    divisor: float = 1.0
    moments: Moments | None = None
    masked: int = 0
    images: bool = False
    dtype: torch.dtype = torch.float32

    def numbers(self, obs: torch.Tensor) -> torch.Tensor:
        """Observations (M, N, ...) as numbers, bytes of an image scaled to [0, 1]."""
        found = obs.to(self.dtype)
        return found if self.divisor == 1.0 else found / self.divisor

    def __call__(self, obs: torch.Tensor) -> torch.Tensor:
        """What the network gets, images with their channels first."""
        found = self.numbers(obs)
        if self.moments is not None:
            wide = (slice(None), None)
            plain = found
            scale = (self.moments.var + EPSILON).rsqrt()
            found = ((found - self.moments.mean[wide]) * scale[wide]).clamp_(-CLIP, CLIP)
            found = found.to(self.dtype)
            if self.masked:
                found[..., -self.masked :] = plain[..., -self.masked :]
        return found.movedim(-1, 2) if self.images else found

    def allow(self, obs: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        """Replaces ratings (M, N, choices) of actions that the observations' mask forbids.

        A mask without any legal action is ignored.
        """
        if not self.masked:
            return ratings
        mask = obs[..., -self.masked :] > 0
        return ratings.where(mask | ~mask.any(-1, keepdim=True), ILLEGAL)

    def update(self, obs: torch.Tensor, counted: torch.Tensor) -> None:
        """Takes observations (M, N, ...) into the filter where ``counted`` (M, N) says so."""
        if self.moments is not None:
            self.moments.update(self.numbers(obs), counted)


class RewardScale:
    """Divides rewards by the spread of their discounted sums, as the class of this name in
    :mod:`rltune.engine.normalisation`.

    Attributes:
        moments: of the discounted sums.
        running: discounted sum of each copy's episode so far, float64, shape (M, E).
    """

    def __init__(self, members: int, copies: int, device: torch.device | str) -> None:
        self.moments = Moments(members, (), device)
        self.running = torch.zeros(members, copies, device=device, dtype=torch.float64)

    @torch.no_grad()
    def scaled(
        self, rewards: torch.Tensor, done: torch.Tensor, valid: torch.Tensor, gamma: torch.Tensor
    ) -> torch.Tensor:
        """Updates the moments with rewards (T, M, E), then scales them, clipped to +-10.

        Args:
            done, valid: where episodes ended and what is experience, bool (T, M, E).
            gamma: shape (M, 1).
        """
        sums = torch.empty(rewards.shape, device=rewards.device, dtype=torch.float64)
        continues = valid & ~done
        for t, reward in enumerate(rewards):
            self.running.mul_(gamma).add_(reward)
            sums[t] = self.running
            self.running.mul_(continues[t])
        members = rewards.shape[1]
        self.moments.update(
            sums.transpose(0, 1).reshape(members, -1), valid.transpose(0, 1).reshape(members, -1)
        )
        scale = (self.moments.var + EPSILON).rsqrt().to(rewards.dtype)
        return (rewards * scale[:, None]).clamp_(-CLIP, CLIP)


def clipped(rewards: torch.Tensor, how: bool | float | None) -> torch.Tensor:
    if not how:
        return rewards
    return rewards.sign() if how is True else rewards.clamp(-abs(how), abs(how))
