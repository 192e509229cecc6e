"""Builds batches of members from RLlib's networks and configs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from rltune.algorithms.image_encoder import ImageEncoder
from rltune.engine.population.layers import NotStackable, Stack, stack
from rltune.engine.population.normalisation import Moments, Reader

#: What a hyperparameter is in a config, at a member's environment steps.
Source = Callable[[Any, int], float]


def encoder(net: nn.Module, path: str) -> Stack:
    """The layers of one of RLlib's encoders.

    Raises:
        NotStackable: it is of no known kind.
    """
    module = net.get_submodule(path)
    if isinstance(module, ImageEncoder):
        return stack(net, f"{path}.convolutions", f"{path}.hidden.mlp")
    if hasattr(module, "net") and hasattr(module.net, "mlp"):
        return stack(net, f"{path}.net.mlp")
    raise NotStackable(f"{path} is {type(module).__name__}, which no batch of members has")


def reader(net: Any, members: int, device: torch.device, dtype: torch.dtype) -> Reader:
    """What turns observations into the networks' input, with filters as they are at the start."""
    shape = net.observation_space.shape
    wanted = net.observation_filter is not None
    moments = Moments(members, shape, device) if wanted else None
    return Reader(net.divisor, moments, net.masked, len(shape) == 3, dtype)


def plain(name: str) -> Source:
    """A setting that is a number, infinity where it is None."""

    def read(config: Any, _: int) -> float:
        value = getattr(config, name)
        return math.inf if value is None else float(value)

    return read


def scheduled(name: str) -> Source:
    """A setting that may be a schedule in RLlib's form, ``[[step, value], ...]``."""

    def read(config: Any, env_steps: int) -> float:
        value = getattr(config, name)
        if isinstance(value, int | float):
            return float(value)
        steps, values = zip(*value, strict=True)
        return float(np.interp(env_steps, steps, values))

    return read


def table(
    sources: Mapping[str, Source], configs: Sequence[Any], env_steps: Sequence[int]
) -> np.ndarray:
    """Every hyperparameter of every member at its environment steps, shape (names, M)."""
    return np.array(
        [
            [read(config, clock) for config, clock in zip(configs, env_steps, strict=True)]
            for read in sources.values()
        ]
    )
