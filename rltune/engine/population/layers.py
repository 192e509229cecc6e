"""Layers of M members applied to M batches at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from rltune.engine.average_pool import average_pool
from rltune.engine.noisy_linear import NoisyLinear
from rltune.engine.population.streams import Streams
from rltune.engine.population.weights import Views

#: Inputs (M, N, ...) and the members' weights to outputs (M, N, ...).
Layer = Callable[[torch.Tensor, Views, Streams | None], torch.Tensor]


@dataclass(frozen=True)
class Linear:
    """``nn.Linear`` of every member: (M, N, inputs) to (M, N, outputs)."""

    weight: str
    bias: str | None

    def __call__(self, x: torch.Tensor, weights: Views, _: Streams | None = None) -> torch.Tensor:
        """Applies it."""
        turned = weights[self.weight].transpose(1, 2)
        if self.bias is None:
            return torch.bmm(x, turned)
        return torch.baddbmm(weights[self.bias].unsqueeze(1), x, turned)


@dataclass(frozen=True)
class Noisy:
    """:class:`rltune.engine.noisy_linear.NoisyLinear` of every member, with noise of its own."""

    weight: str
    bias: str
    inputs: int
    outputs: int

    def __call__(self, x: torch.Tensor, weights: Views, streams: Streams | None) -> torch.Tensor:
        """Applies it; without streams the mean weights act."""
        weight, bias = weights[self.weight], weights[self.bias]
        if streams is not None:
            noise = streams.normal(self.inputs + self.outputs, dtype=x.dtype)
            noise = noise.sign() * noise.abs().sqrt()
            into, out = noise[:, : self.inputs], noise[:, self.inputs :]
            outer = out.unsqueeze(2) * into.unsqueeze(1)
            weight = weight + weights[f"{self.weight}_sigma"] * outer
            bias = bias + weights[f"{self.bias}_sigma"] * out
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))


@dataclass(frozen=True)
class Convolution:
    """``nn.Conv2d`` of every member, as one grouped convolution: (M, N, C, height, width)."""

    weight: str
    bias: str
    stride: tuple[int, ...]

    def __call__(self, x: torch.Tensor, weights: Views, _: Streams | None = None) -> torch.Tensor:
        """Applies it."""
        members, count, channels, *sides = x.shape
        weight = weights[self.weight]
        planes = x.transpose(0, 1).reshape(count, members * channels, *sides)
        out = functional.conv2d(
            planes,
            weight.flatten(0, 1),
            weights[self.bias].flatten(),
            stride=self.stride,
            groups=members,
        )
        stacked = out.view(count, members, weight.shape[1], *out.shape[2:])
        return stacked.transpose(0, 1)


@dataclass(frozen=True)
class Pool:
    """``nn.AdaptiveAvgPool2d`` of (M, N, C, height, width)."""

    size: int

    def __call__(self, x: torch.Tensor, _: Views, __: Streams | None = None) -> torch.Tensor:
        """Applies it."""
        return average_pool(x, self.size)


@dataclass(frozen=True)
class Elementwise:
    """A layer without weights."""

    function: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, x: torch.Tensor, _: Views, __: Streams | None = None) -> torch.Tensor:
        """Applies it."""
        return self.function(x)


def _flatten(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(2)


#: What each module without weights does to stacked inputs.
ELEMENTWISE: dict[type[nn.Module], Callable[[torch.Tensor], torch.Tensor]] = {
    nn.ReLU: torch.relu,
    nn.Tanh: torch.tanh,
    nn.SiLU: functional.silu,
    nn.ELU: functional.elu,
    nn.Identity: lambda x: x,
    nn.Flatten: _flatten,
}


class NotStackable(ValueError):
    """A network has a layer that cannot be applied to a batch of members."""


@dataclass(frozen=True)
class Stack:
    """Layers one after the other.

    Attributes:
        layers: each takes and returns (M, N, ...).
    """

    layers: tuple[Layer, ...]

    def __call__(
        self, x: torch.Tensor, weights: Views, streams: Streams | None = None
    ) -> torch.Tensor:
        """Applies them. Without streams noisy layers use their mean weights."""
        for layer in self.layers:
            x = layer(x, weights, streams)
        return x

    def __add__(self, other: Stack) -> Stack:
        return Stack(self.layers + other.layers)


def stack(network: nn.Module, *paths: str) -> Stack:
    """The layers of submodules of one member's network, such as ``"pi.net.mlp"``, in turn.

    Raises:
        NotStackable: one of them is of no known kind.
    """
    found: list[Layer] = []
    for path in paths:
        for name, module in _leaves(network.get_submodule(path), path):
            found.append(_layer(name, module))
    return Stack(tuple(found))


def _leaves(module: nn.Module, path: str) -> Sequence[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        return [(path, module)]
    return [
        leaf for name, child in module.named_children() for leaf in _leaves(child, f"{path}.{name}")
    ]


def _layer(name: str, module: nn.Module) -> Layer:
    weight, bias = f"{name}.weight", f"{name}.bias"
    if isinstance(module, NoisyLinear):
        return Noisy(weight, bias, module.in_features, module.out_features)
    if type(module) is nn.Linear:
        return Linear(weight, None if module.bias is None else bias)
    if type(module) is nn.Conv2d and module.padding == (0, 0) and module.groups == 1:
        return Convolution(weight, bias, module.stride)
    if isinstance(module, nn.AdaptiveAvgPool2d) and isinstance(module.output_size, int):
        return Pool(module.output_size)
    if type(module) in ELEMENTWISE:
        return Elementwise(ELEMENTWISE[type(module)])
    raise NotStackable(f"{name} is {type(module).__name__}, which no batch of members has")
