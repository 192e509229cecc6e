"""Layers with their gradients written out, beside autograd's; and products by either library."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rltune.engine import products
from rltune.engine.mlp import Gradients, Mlp, layers_of
from rltune.engine.noisy_linear import NoisyLinear


def _chain(width: int, kind: type[nn.Module], dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = nn.Sequential(nn.Linear(5, width), kind(), nn.Linear(width, width), kind())
    return nn.Sequential(hidden, nn.Linear(width, 3)).to(dtype)


@pytest.mark.parametrize("kind", [nn.ReLU, nn.Tanh])
@pytest.mark.parametrize(
    ("width", "dtype", "tolerance"),
    [(16, torch.float32, 1e-6), (256, torch.float32, 1e-6), (256, torch.float64, 1e-14)],
)
def test_outputs_and_gradients_are_autograds(
    kind: type[nn.Module], width: int, dtype: torch.dtype, tolerance: float
) -> None:
    chain = _chain(width, kind, dtype)
    layers = layers_of(chain)
    assert layers
    assert [layer.activation for layer in layers] == [kind, kind, None]
    x = torch.randn(64, 5, dtype=dtype, requires_grad=True)
    gradient = torch.randn(64, 3, dtype=dtype)
    wanted = chain(x)
    wanted.backward(gradient)
    mlp = Mlp(layers)
    into = [Gradients(torch.empty_like(of.weight), torch.empty_like(of.bias)) for of in layers]
    with torch.no_grad():
        outputs = mlp.outputs(x)
        back = mlp.backward(gradient, outputs, into, first=False)
        assert torch.equal(mlp(x), outputs[-1])
    found = [outputs[-1], back, *(place for each in into for place in (each.weight, each.bias))]
    params = [param.grad for param in chain.parameters()]
    for ours, theirs in zip(found, [wanted.detach(), x.grad, *params], strict=True):
        assert theirs is not None
        assert float((ours - theirs).norm()) <= tolerance * float(theirs.norm())
    again = [Gradients(torch.empty_like(of.weight), torch.empty_like(of.bias)) for of in layers]
    with torch.no_grad():
        mlp.backward(gradient, mlp.outputs(x), again)
    for one, other in zip(into, again, strict=True):
        assert torch.equal(one.weight, other.weight), "the same numbers come again, bit for bit"
        assert torch.equal(one.bias, other.bias)


@pytest.mark.parametrize(
    "other",
    [
        nn.LayerNorm(4),
        nn.Linear(4, 4, bias=False),
        NoisyLinear(nn.Linear(4, 4), 0.5),
        nn.SiLU(),
        nn.Dropout(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_chain_with_another_layer_is_left_to_autograd(other: nn.Module) -> None:
    assert layers_of(nn.Sequential(nn.Linear(4, 4), other)) is None


def test_large_products_are_onednns() -> None:
    weight = torch.zeros(256, 256)
    assert products.by_onednn(64, weight) == torch.backends.mkldnn.is_available()
    assert not products.by_onednn(16, weight)
    assert not products.by_onednn(64, weight.double())
