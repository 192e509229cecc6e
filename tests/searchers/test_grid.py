"""Grid search."""

from __future__ import annotations

import pytest

from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.searchers.grid import grid
from rltune.space import Constraint, Space, parse_parameter

BODIES = {
    "lr": {"log": [1e-4, 1e-2]},
    "layers": {"int": [1, 2]},
    "activation": {"choice": ["relu", "tanh"]},
}


def _space(*constraints: str) -> Space:
    parameters = {name: parse_parameter(name, body) for name, body in BODIES.items()}
    return Space(parameters, tuple(map(Constraint.parse, constraints)))


def test_a_grid_goes_from_bound_to_bound_on_each_own_scale() -> None:
    points = grid(_space(), {}, trials=12)
    assert len(points) == 12
    assert sorted({point["lr"] for point in points}) == pytest.approx([1e-4, 1e-3, 1e-2])
    assert {point["layers"] for point in points} == {1, 2}
    assert [point["activation"] for point in points[:2]] == ["relu", "tanh"]


def test_a_combination_that_breaks_a_constraint_is_left_out() -> None:
    points = grid(_space("layers * 10 <= width"), {"width": 10}, trials=6)
    assert {point["layers"] for point in points} == {1}
    assert len(points) == 6


def test_a_grid_that_does_not_fit_the_trials_names_the_number() -> None:
    space = {"fcnet_activation": {"choice": ["relu", "tanh", "silu"]}}
    fixed = dict.fromkeys(make_spec("ppo", "cartpole").space)
    settings = {name: make_spec("ppo", "cartpole").settings[name] for name in fixed}
    settings.pop("fcnet_activation", None)
    with pytest.raises(BadInput, match="3 combinations: set trials to 3"):
        make_spec(
            "ppo",
            "cartpole",
            searcher="grid",
            scheduler="fifo",
            trials=4,
            space=space,
            settings=settings,
        )
