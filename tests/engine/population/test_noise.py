"""Noise of a member is standard normal and keeps its direction as its own setting says."""

from __future__ import annotations

import pytest
import torch
from quick import GPUS

from rltune.engine.population.noise import CorrelatedNoise
from rltune.engine.population.streams import Streams

DEVICE = torch.device("cuda" if GPUS else "cpu")


def test_each_member_has_a_correlation_of_its_own() -> None:
    noise, streams = CorrelatedNoise(2, 4, 3, device=DEVICE), Streams([1, 2], DEVICE)
    rho = torch.tensor([[0.0], [0.9]], device=DEVICE)
    draws = torch.stack([noise.draw(streams, rho).clone() for _ in range(1_000)])
    for member, wanted in enumerate(rho[:, 0].tolist()):
        z = draws[:, member].flatten(1)
        assert float(z.std()) == pytest.approx(1.0, abs=0.1)
        assert float((z[1:] * z[:-1]).mean() / z.square().mean()) == pytest.approx(wanted, abs=0.05)


def test_a_member_that_restarts_draws_as_at_the_start() -> None:
    noise = CorrelatedNoise(2, 4, 3, device=DEVICE)
    streams, again = Streams([1, 2], DEVICE), Streams([1, 2], DEVICE)
    rho = torch.full((2, 1), 0.9, device=DEVICE)
    for _ in range(2):
        noise.draw(streams, rho)
        again.normal(4, 3)
    noise.restart(1)
    drawn, fresh = noise.draw(streams, rho), again.normal(4, 3)
    assert torch.equal(drawn[1], fresh[1])
    assert not torch.equal(drawn[0], fresh[0])
