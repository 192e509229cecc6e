"""The layers of each member of a batch without autograd, on a CPU.

There one product of all members' matrices is no faster than one a member where they are large, and
oneDNN has the latter alone (see :mod:`rltune.engine.products`). Small ones are faster together.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from rltune.engine.mlp import Gradients, Layer, Mlp
from rltune.engine.population.layers import Elementwise, Linear, Stack
from rltune.engine.population.weights import Views
from rltune.engine.products import by_onednn

#: Layers' functions that :class:`rltune.engine.mlp.Mlp` has too, by their modules.
KINDS: dict[Callable[[torch.Tensor], torch.Tensor], type[nn.Module]] = {
    torch.relu: nn.ReLU,
    torch.tanh: nn.Tanh,
}


class DirectStack:
    """A stack of linear layers of M members, called and differentiated member by member.

    Args:
        members: each member's layers.
        into: where the gradients of each member's layers are written to.
    """

    def __init__(self, members: list[Mlp], into: list[list[Gradients]]) -> None:
        self._members, self._into = members, into
        self._outputs: list[list[torch.Tensor]] = []
        self._leaf: torch.Tensor | None = None

    @classmethod
    def of(
        cls, stack: Stack, weights: Views, rows: int, gradients: Views | None = None
    ) -> DirectStack | None:
        """Of a stack with the members' weights; None where autograd is needed, or faster.

        Args:
            rows: of a member's minibatches.
            gradients: where they are written to, by the names of the weights.
        """
        chain = _chain(stack)
        if chain is None or not any(by_onednn(rows, weights[of.weight][0]) for of, _ in chain):
            return None
        count = len(weights[chain[0][0].weight])
        data = {name: each.detach() for name, each in weights.items()}
        members = [
            Mlp([Layer(data[of.weight][m], data[str(of.bias)][m], kind) for of, kind in chain])
            for m in range(count)
        ]
        into = [
            [Gradients(gradients[of.weight][m], gradients[str(of.bias)][m]) for of, _ in chain]
            if gradients
            else []
            for m in range(count)
        ]
        return cls(members, into)

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (M, N, O) of inputs (M, N, I), for nobody to differentiate."""
        return torch.stack([member(each) for member, each in zip(self._members, x, strict=True)])

    @torch.no_grad()
    def leaf(self, x: torch.Tensor) -> torch.Tensor:
        """The same as a leaf of autograd's, whose gradient :meth:`backward` continues from."""
        self._outputs = [
            member.outputs(each) for member, each in zip(self._members, x, strict=True)
        ]
        self._leaf = torch.stack([each[-1] for each in self._outputs]).requires_grad_()
        return self._leaf

    def backward(self, loss: torch.Tensor) -> None:
        """Writes the gradients of a sum of losses of the newest leaf."""
        assert self._leaf is not None
        (gradient,) = torch.autograd.grad(loss, self._leaf)
        with torch.no_grad():
            for member, each, outputs, into in zip(
                self._members, gradient, self._outputs, self._into, strict=True
            ):
                member.backward(each, outputs, into)
        self._outputs, self._leaf = [], None


def _chain(stack: Stack) -> list[tuple[Linear, type[nn.Module] | None]] | None:
    """Each linear layer with the activation behind it; None where there is another layer."""
    found: list[tuple[Linear, type[nn.Module] | None]] = []
    for layer in stack.layers:
        if isinstance(layer, Linear) and layer.bias is not None:
            found.append((layer, None))
        elif isinstance(layer, Elementwise) and found and found[-1][1] is None:
            kind = KINDS.get(layer.function)
            if kind is None:
                return None
            found[-1] = found[-1][0], kind
        else:
            return None
    return found or None
