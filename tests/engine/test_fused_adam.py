"""Adam's kernel called directly, beside its optimiser's own step."""

from __future__ import annotations

import copy
from typing import Any

import torch

from rltune.engine.fused_adam import FusedAdam, fast_step_of


def _adam() -> torch.optim.Adam:
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape)) for shape in ((7, 3), (7,), ())]
    return torch.optim.Adam(params, lr=1e-2, eps=1e-5, weight_decay=1e-3, fused=True)


def _params(adam: torch.optim.Adam) -> list[Any]:
    return list(adam.param_groups[0]["params"])


def _give_gradients(turn: int, *optimizers: torch.optim.Adam) -> None:
    for adam in optimizers:
        torch.manual_seed(turn)
        for param in _params(adam):
            param.grad = torch.randn_like(param)


def _assert_same(one: torch.optim.Adam, other: torch.optim.Adam) -> None:
    for ours, theirs in zip(_params(one), _params(other), strict=True):
        assert torch.equal(ours, theirs)
        assert one.state[ours].keys() == other.state[theirs].keys()
        for name, value in one.state[ours].items():
            assert torch.equal(value, other.state[theirs][name]), name


def test_steps_are_the_optimisers_own_bit_for_bit() -> None:
    ours, theirs = _adam(), _adam()
    step, hooked = fast_step_of(ours), []
    assert isinstance(step, FusedAdam)
    kept: dict[str, Any] = {}
    for turn in range(12):
        _give_gradients(turn, ours, theirs)
        if turn == 3:  # an exploit
            ours.param_groups[0]["lr"] = theirs.param_groups[0]["lr"] = 3e-3
            kept = copy.deepcopy(ours.state_dict())
        if turn == 5:  # a restore, of other steps than the newest
            ours.load_state_dict(copy.deepcopy(kept))
            theirs.load_state_dict(copy.deepcopy(kept))
        if turn == 7:  # a weight that is not trained
            _params(ours)[1].grad = _params(theirs)[1].grad = None
        if turn == 8:
            ours.register_step_pre_hook(lambda *_: hooked.append(True))
        if turn == 9:
            ours._optimizer_step_pre_hooks.clear()
        step()
        theirs.step()
        _assert_same(ours, theirs)
    assert hooked == [True]


def test_found_inf_skips_a_step() -> None:
    adam = _adam()
    step = fast_step_of(adam)
    for turn in range(2):
        _give_gradients(turn, adam)
        step()
    before = [param.detach().clone() for param in _params(adam)]
    adam.found_inf = torch.ones(())  # type: ignore[attr-defined]
    step()
    assert all(map(torch.equal, before, _params(adam)))


def test_another_optimiser_is_called_itself() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    fast_step_of(torch.optim.SGD([weight], lr=0.5))()
    assert weight.tolist() == [0.5, 0.5]
