"""Observations and rewards brought to one scale, by statistics that the network carries.

They are buffers of the RLModule: so they are in every checkpoint and in policy.pt, a clone takes
its donor's, remote runners get them with the weights, and evaluation uses them as they were.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from rltune.engine.codec import divisor, masked
from rltune.engine.rollout import Rollout

#: RLlib's name of the column of observations.
OBS = "obs"
#: Normalised numbers are clipped to this distance from zero, as is common for both.
CLIP = 10.0
#: Added to a variance: what never varies is divided by a little.
EPSILON = 1e-8
#: The rating of an action that a mask forbids: its probability is 0, and it is never the highest.
#: Finite, so that its product with a probability of 0 is 0.
ILLEGAL = -1e9


class RunningMoments(nn.Module):
    """Mean and variance of everything seen, by the update of Chan et al. (1979).

    Single precision, and a whole number for the count: RLlib's checkpoints keep nothing finer.

    Args:
        shape: of one row.
    """

    mean: torch.Tensor
    var: torch.Tensor
    count: torch.Tensor

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("var", torch.ones(shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, rows: torch.Tensor) -> None:
        """Takes rows of shape (N, ...) into account."""
        if not len(rows):
            return
        rows, old, new = rows.double(), int(self.count), len(rows)
        share, delta = new / (old + new), rows.mean(0) - self.mean
        spread = rows.var(0, correction=0) * share + self.var * (1 - share)
        self.var.copy_(spread + delta.square() * share * (1 - share))
        self.mean.add_(delta * share)
        self.count.add_(new)


class MeanStdFilter(RunningMoments):
    """Observations with mean 0 and variance 1; none seen yet: as they are.

    Args:
        masked: numbers of an action mask at the end of a row, which stay as they are.
    """

    def __init__(self, shape: tuple[int, ...] = (), masked: int = 0) -> None:
        super().__init__(shape)
        self._masked = masked

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Shape (N, ...), clipped to +-10."""
        scaled: torch.Tensor = (obs - self.mean) * (self.var + EPSILON).rsqrt()
        scaled.clamp_(-CLIP, CLIP)
        if self._masked:
            scaled[..., -self._masked :] = obs[..., -self._masked :]
        return scaled


class RewardScale(RunningMoments):
    """Rewards divided by the standard deviation of the discounted return so far.

    As OpenAI Baselines' VecNormalize and Engstrom et al. (2020, arXiv 2005.12729) describe it. The
    returns that are under way belong to the environments: they are in no checkpoint, and start
    anew where the environments do.
    """

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[int, np.ndarray] = {}

    def scaled(
        self, rewards: list[np.ndarray], rollouts: list[Rollout], gamma: float
    ) -> list[np.ndarray]:
        """Rewards of shape (T, N), one array a rollout, scaled by these too; clipped to +-10.

        Args:
            rollouts: one a runner, always in the same order; they say where episodes end.
        """
        returns = [
            self._returns(runner, values, rollout, gamma)[rollout.valid]
            for runner, (values, rollout) in enumerate(zip(rewards, rollouts, strict=True))
        ]
        self.update(torch.from_numpy(np.concatenate(returns)).to(self.var.device))
        scale = np.float32(1 / np.sqrt(float(self.var) + EPSILON))
        return [np.clip(values * scale, -CLIP, CLIP) for values in rewards]

    def _returns(
        self, runner: int, rewards: np.ndarray, rollout: Rollout, gamma: float
    ) -> np.ndarray:
        """The discounted return of every environment after each step, shape (T, N)."""
        running = self._running.get(runner)
        if running is None or not rollout.continues or len(running) != rewards.shape[1]:
            running = np.zeros(rewards.shape[1])
        goes_on = ~(rollout.terminated | rollout.truncated)
        returns = np.empty(rewards.shape)
        for t, reward in enumerate(rewards):
            returns[t] = running * gamma + reward
            running = returns[t] * goes_on[t]
        self._running[runner] = running
        return returns


class NormalisationMixin:
    """Mixed into RLModules: how the network reads observations.

    Attributes:
        observation_filter: what ``observation_filter`` asks for.
        divisor: what observations are divided by, see :func:`rltune.engine.codec.divisor`.
        masked: numbers of an action mask at the end of an observation.
    """

    observation_filter: MeanStdFilter | None
    divisor: float
    masked: int
    observation_space: Any
    model_config: Any

    def setup(self) -> None:
        """Builds the network, then the filter."""
        super().setup()  # type: ignore[misc]
        space = self.observation_space
        wanted = self.model_config.get("observation_filter", "NoFilter") != "NoFilter"
        self.observation_filter = MeanStdFilter(space.shape, masked(space)) if wanted else None
        self.divisor = divisor(space)
        self.masked = masked(space)

    def allow(self, batch: dict[str, Any], ratings: torch.Tensor) -> torch.Tensor:
        """Ratings of numbered actions, (N, choices), those of illegal ones lowered out of reach.

        A mask that allows nothing, as at the end of a game, restricts nothing.
        """
        if not self.masked:
            return ratings
        mask = batch[OBS][..., -self.masked :] > 0
        return ratings.where(mask | ~mask.any(-1, keepdim=True), ILLEGAL)


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor; on its way to a GPU it goes through pinned memory, unwaited for."""
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if not array.flags.writeable:  # it came from another process, and torch warns of it
        array = array.copy()
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


def as_numbers(net: Any, obs: torch.Tensor) -> torch.Tensor:
    """Observations as float32, bytes of a picture scaled to [0, 1]."""
    divisor = getattr(net, "divisor", 1.0)
    return obs.float() if divisor == 1.0 else obs.float().div_(divisor)


def as_input(net: Any, obs: torch.Tensor) -> torch.Tensor:
    """Observations as a network takes them: numbers, and through its filter where it has one."""
    numbers = as_numbers(net, obs)
    chosen = getattr(net, "observation_filter", None)
    return numbers if chosen is None else chosen(numbers)
