"""Noisy networks for exploration (Fortunato et al. 2018, arXiv 1706.10295)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


class NoisyLinear(nn.Linear):
    """A linear layer with factorised Gaussian noise on its weights.

    In training mode, which includes exploration, every call draws new noise; in evaluation mode the
    layer uses the mean weights.

    Args:
        layer: the layer to replace, for its sizes.
        sigma0: initial noise, divided by the square root of the number of inputs.
    """

    def __init__(self, layer: nn.Linear, sigma0: float) -> None:
        super().__init__(layer.in_features, layer.out_features)
        bound = 1 / math.sqrt(self.in_features)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        self.weight_sigma = nn.Parameter(torch.full_like(self.weight, sigma0 * bound))
        self.bias_sigma = nn.Parameter(torch.full_like(self.bias, sigma0 * bound))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Maps inputs of shape (..., in_features) to (..., out_features)."""
        if not self.training:
            return super().forward(inputs)
        noise_in = _scaled(torch.randn(self.in_features, device=inputs.device))
        noise_out = _scaled(torch.randn(self.out_features, device=inputs.device))
        weight = self.weight + self.weight_sigma * torch.outer(noise_out, noise_in)
        return functional.linear(inputs, weight, self.bias + self.bias_sigma * noise_out)


def _scaled(noise: torch.Tensor) -> torch.Tensor:
    return noise.sign() * noise.abs().sqrt()


def make_noisy(module: nn.Module, sigma0: float) -> None:
    """Replaces every linear layer inside a module by a noisy one."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, NoisyLinear(child, sigma0))
        else:
            make_noisy(child, sigma0)
