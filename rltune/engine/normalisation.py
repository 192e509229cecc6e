"""Normalises observations and rewards with running statistics that belong to the network.

The statistics are buffers of the RLModule: they are in every checkpoint and in policy.pt, a clone
copies its donor's, remote runners get them with the weights, and evaluation uses them unchanged.
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
#: Normalised observations and rewards are clipped to [-CLIP, CLIP], as is common.
CLIP = 10.0
#: Added to a variance, so that constants are not divided by zero.
EPSILON = 1e-8
#: Logit or value of a masked action: its probability is 0 and it is never the highest. Finite, so
#: that its product with a probability of 0 is 0.
ILLEGAL = -1e9


class RunningMoments(nn.Module):
    """Running mean and variance, by the update of Chan et al. (1979).

    The moments are float32 and the count is an integer, as RLlib's checkpoints keep them.

    Args:
        shape: shape of one row.
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
        """Adds rows of shape (N, ...)."""
        if not len(rows):
            return
        rows, old, new = rows.double(), int(self.count), len(rows)
        share, delta = new / (old + new), rows.mean(0) - self.mean
        spread = rows.var(0, correction=0) * share + self.var * (1 - share)
        self.var.copy_(spread + delta.square() * share * (1 - share))
        self.mean.add_(delta * share)
        self.count.add_(new)


class MeanStdFilter(RunningMoments):
    """Scales observations to mean 0 and variance 1; before the first update they stay unchanged.

    Args:
        masked: length of an action mask at the end of a row, which stays unchanged.
    """

    def __init__(self, shape: tuple[int, ...] = (), masked: int = 0) -> None:
        super().__init__(shape)
        self._masked = masked

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Scales observations of shape (N, ...), clipped to +-10."""
        scaled: torch.Tensor = (obs - self.mean) * (self.var + EPSILON).rsqrt()
        scaled = scaled.clamp(-CLIP, CLIP)
        if self._masked:
            scaled[..., -self._masked :] = obs[..., -self._masked :]
        return scaled


class RewardScale(RunningMoments):
    """Divides rewards by the standard deviation of the running discounted return.

    Described in OpenAI Baselines' VecNormalize and Engstrom et al. (2020, arXiv 2005.12729). The
    running returns belong to the environments: they are not in checkpoints, and restart when the
    environments are reset.
    """

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[int, np.ndarray] = {}

    def scaled(
        self, rewards: list[np.ndarray], rollouts: list[Rollout], gamma: float
    ) -> list[np.ndarray]:
        """Updates the statistics with rewards (T, N), one array per rollout, and scales them.

        Returns the rewards clipped to +-10.

        Args:
            rollouts: one per runner, always in the same order; they say where episodes end.
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
        """Returns the discounted return of every environment after each step, shape (T, N)."""
        running = self._running.get(runner)
        if running is None or not rollout.continues or len(running) != rewards.shape[1]:
            running = np.zeros(rewards.shape[1])
        continues = ~(rollout.terminated | rollout.truncated)
        returns = np.empty(rewards.shape)
        for t, reward in enumerate(rewards):
            returns[t] = running * gamma + reward
            running = returns[t] * continues[t]
        self._running[runner] = running
        return returns


class NormalisationMixin:
    """Mixin of RLModules that normalises the observations of the network.

    Attributes:
        observation_filter: the filter of the setting ``observation_filter``, or None.
        divisor: divisor of observations, see :func:`rltune.engine.codec.divisor`.
        masked: length of an action mask at the end of an observation.
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
        """Replaces the ratings (N, choices) of illegal actions by :data:`ILLEGAL`.

        A mask without any legal action, as at the end of a game, is ignored.
        """
        if not self.masked:
            return ratings
        mask = batch[OBS][..., -self.masked :] > 0
        return ratings.where(mask | ~mask.any(-1, keepdim=True), ILLEGAL)


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Converts an array to a tensor; copies to a GPU asynchronously, through pinned memory."""
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if not array.flags.writeable:  # arrays of other processes, which torch warns about
        array = array.copy()
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


def as_numbers(net: Any, obs: torch.Tensor) -> torch.Tensor:
    """Converts observations to float32, bytes of an image scaled to [0, 1]."""
    divisor = getattr(net, "divisor", 1.0)
    return obs.float() if divisor == 1.0 else obs.float().div_(divisor)


def as_input(net: Any, obs: torch.Tensor) -> torch.Tensor:
    """Converts observations to the network's input: float32, filtered if it has a filter."""
    numbers = as_numbers(net, obs)
    its_filter = getattr(net, "observation_filter", None)
    return numbers if its_filter is None else its_filter(numbers)
