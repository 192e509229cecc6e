"""Random numbers of members."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from rltune.engine.population.streams import Streams


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


def test_normal_numbers_are_normal_and_orders_are_permutations() -> None:
    streams = Streams([-5, 2**63, 2**64 + 1])
    assert stats.kstest(streams.normal(5_000).double().numpy().ravel(), "norm").pvalue > 1e-3
    orders = streams.orders(50)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(50).expand(3, 50))
    assert not torch.equal(orders[0], orders[1])
