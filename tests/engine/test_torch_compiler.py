"""Torch's compiler stays out of a trial's process, and an update is the same without it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import ray
import torch
from quick import make
from ray import cloudpickle

from rltune.catalog.algorithms import ALGORITHMS
from rltune.engine.torch_compiler import step_of

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_trial_does_not_load_the_compiler(algo: str, tmp_path: Path) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cloudpickle.register_pickle_by_value(sys.modules["quick"])
    loaded = ray.remote(num_cpus=1)(_loaded_by_a_trial).remote(algo, str(tmp_path))
    assert "torch._dynamo" not in ray.get(loaded)


def _loaded_by_a_trial(algo: str, folder: str) -> set[str]:
    member = make(algo, seed=1)
    member.train()
    member.save(folder)
    member.restore(folder)
    member.train()
    assert torch.are_deterministic_algorithms_enabled()
    return set(sys.modules)


def test_an_optimiser_step_agrees_with_torch() -> None:
    weights, gradients = torch.randn(2, 5), torch.randn(3, 5)
    stepped = []
    for plain in (False, True):
        weight = torch.nn.Parameter(weights[0].clone())
        optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
        step = step_of(optimizer) if plain else optimizer.step
        for gradient in gradients:
            weight.grad = gradient.clone()
            step()
        stepped.append(weight.detach())
    assert not torch.equal(stepped[0], weights[0])
    assert torch.equal(*stepped)
