"""Linear layers and activations with their gradients written out.

On small networks autograd's steps, and torch's calls of one module after the other, take as long as
the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rltune.engine.products import linear, multiply

Activation = Callable[[torch.Tensor], torch.Tensor]
Slope = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _relu_slope(gradient: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.ops.aten.threshold_backward(gradient, outputs, 0)
    return found


def _tanh_slope(gradient: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.ops.aten.tanh_backward(gradient, outputs)
    return found


#: What an activation does in place, and the gradient of its inputs, from that of its outputs and
#: from the outputs.
ACTIVATIONS: dict[type[nn.Module], tuple[Activation, Slope]] = {
    nn.ReLU: (torch.relu_, _relu_slope),
    nn.Tanh: (torch.tanh_, _tanh_slope),
}


@dataclass(frozen=True)
class Layer:
    """A linear layer and the activation behind it.

    Attributes:
        weight, bias: shape (O, I) and (O,), on the CPU.
        activation: its type, a key of :data:`ACTIVATIONS`, or None.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    activation: type[nn.Module] | None = None


@dataclass(frozen=True)
class Gradients:
    """Where the gradients of a layer's weight and bias are written to."""

    weight: torch.Tensor
    bias: torch.Tensor


class Mlp:
    """Layers one after the other, without autograd."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)

    def outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The inputs x (N, I) and the outputs of each layer."""
        found = [x]
        for layer in self.layers:
            x = linear(x, layer.weight, layer.bias)
            found.append(x if layer.activation is None else ACTIVATIONS[layer.activation][0](x))
        return found

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs of the last layer for x (N, I)."""
        return self.outputs(x)[-1]

    def backward(
        self,
        gradient: torch.Tensor,
        outputs: Sequence[torch.Tensor],
        into: Sequence[Gradients],
        first: bool = True,
    ) -> torch.Tensor:
        """Writes the gradients of all weights.

        Args:
            gradient: of the last outputs, shape (N, O).
            outputs: what :meth:`outputs` returned.
            into: where to, one a layer.
            first: whether nothing lies before the first layer.

        Returns:
            The gradient of the inputs; of the first layer's outputs where it is ``first``.
        """
        for i in range(len(self.layers) - 1, -1, -1):
            layer, places = self.layers[i], into[i]
            if layer.activation is not None:
                gradient = ACTIVATIONS[layer.activation][1](gradient, outputs[i + 1])
            multiply(gradient.t(), outputs[i], out=places.weight)
            torch.sum(gradient, 0, out=places.bias)
            if i or not first:
                gradient = multiply(gradient, layer.weight)
        return gradient


def layers_of(module: nn.Module) -> list[Layer] | None:
    """The layers of a module that is a chain of known ones; None where it is not."""
    found: list[Layer] = []
    for layer in _leaves(module):
        kind = type(layer)
        if isinstance(layer, nn.Linear) and kind is nn.Linear and layer.bias is not None:
            found.append(Layer(layer.weight.data, layer.bias.data))
        elif kind in ACTIVATIONS and found and found[-1].activation is None:
            found[-1] = Layer(found[-1].weight, found[-1].bias, kind)
        elif kind is not nn.Identity:
            return None
    return found


def _leaves(module: nn.Module) -> list[nn.Module]:
    if not isinstance(module, nn.Sequential):
        return [module]
    return [leaf for child in module for leaf in _leaves(child)]
