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
