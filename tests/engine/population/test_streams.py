"""Random numbers of members."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from rltune.engine.population.streams import Streams, _signed

#: All bits of a number set.
MOST = (1 << 64) - 1


def test_numbers_depend_on_seed_and_place_alone() -> None:
    many, one = Streams(range(100)), Streams([42])
    drawn = torch.cat([many.uniform(3), many.uniform(2, 4).flatten(1)], 1)
    assert torch.equal(drawn[42], one.uniform(11)[0])
    assert torch.equal(many.counts, torch.full((100,), 11))


def test_neighbouring_seeds_and_places_are_independent() -> None:
    drawn = Streams(range(200)).uniform(500).double().numpy()
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-3
    for before, after in ((drawn[:-1], drawn[1:]), (drawn[:, :-1], drawn[:, 1:])):
        assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.01
    assert drawn.min() > 0
    assert drawn.max() < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [0, MOST])
def test_the_ends_are_never_drawn(bits: int, dtype: torch.dtype) -> None:
    streams = Streams([0])
    streams.keys[0] = _signed(_before_mixing(bits))
    drawn = float(streams.uniform(1, dtype=dtype))
    assert 0 < drawn < 1
    assert abs(drawn - bits / MOST) < 1e-7
    streams.counts.zero_()
    assert 5 < abs(float(streams.normal(1, dtype=dtype))) < 10


def _before_mixing(number: int) -> int:
    """What SplitMix64's finaliser turns into a number."""
    for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
        mixed = number
        for _ in range(64 // shift):
            number = mixed ^ (number >> shift)
        number = number * pow(factor, -1, 1 << 64) & MOST
    return number


def test_normal_numbers_are_normal_and_orders_are_permutations() -> None:
    streams = Streams([-5, 2**63, 2**64 + 1])
    assert stats.kstest(streams.normal(5_000).double().numpy().ravel(), "norm").pvalue > 1e-3
    orders = streams.orders(50)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(50).expand(3, 50))
    assert not torch.equal(orders[0], orders[1])
