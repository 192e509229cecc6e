"""Adam of several members beside torch's own, of each by itself."""

from __future__ import annotations

import pytest
import torch

from rltune.engine.population.adam import ONE_BY_ONE, Adam


@pytest.mark.parametrize("size", [ONE_BY_ONE - 1, ONE_BY_ONE])
def test_rows_move_as_by_torch(size: int) -> None:
    torch.manual_seed(0)
    rows, rates = torch.randn(3, size), torch.tensor([[1e-3], [3e-2], [1e-2]])
    alone = [torch.nn.Parameter(row.clone()) for row in rows]
    others = [
        torch.optim.Adam([row], lr=float(rate), eps=1e-7)
        for row, rate in zip(alone, rates, strict=True)
    ]
    together = Adam(rows, epsilon=1e-7)
    for turn in range(6):
        gradient = torch.randn(3, size)
        active = torch.tensor([[True], [turn % 2 == 0], [False]])
        for row, other, each, acts in zip(alone, others, gradient, active, strict=True):
            row.grad = each.clone()
            if acts:
                other.step()
        together.step(gradient, rates, active)
    assert together.steps[:, 0].tolist() == [6, 3, 0]
    for row, wanted, first in zip(rows, alone, together.first, strict=True):
        torch.testing.assert_close(row, wanted.detach(), rtol=1e-6, atol=1e-6)
        assert bool(first.any()) == (not torch.equal(row, rows[2]))
