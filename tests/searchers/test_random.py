"""Random search."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.searchers import build, starting_point
from rltune.searchers.history import History
from rltune.space import Constraint, Space, parse_parameter
from rltune.spec import RunSpec


def test_random_search_starts_from_the_preset() -> None:
    spec = make_spec("ppo", "cartpole", trials=3, seed=2)
    first = starting_point(spec, build(spec), 0, History())
    assert {name: first[name] for name in spec.space} == {
        name: spec.settings[name] for name in spec.space
    }


def _with_grid(*constraints: str) -> RunSpec:
    bodies = {
        "lr": {"log": [1e-5, 1e-1]},
        "depth": {"grid": [1, 2, 3]},
        "act": {"grid": ["relu", "tanh"]},
    }
    space = Space(
        {name: parse_parameter(name, body) for name, body in bodies.items()},
        tuple(map(Constraint.parse, constraints)),
    )
    settings = {"lr": 1e-3, "depth": 3, "act": "tanh", "most": 2}
    return replace(make_spec("ppo", "cartpole", trials=18), settings=settings, space=space)


def test_combinations_of_a_grid_take_turns() -> None:
    spec = _with_grid()
    searcher = build(spec)
    drawn = [searcher.suggest(number, History()) for number in range(18)]
    assert all(list(values) == ["lr", "depth", "act"] for values in drawn)
    assert Counter((values["depth"], values["act"]) for values in drawn) == {
        (depth, act): 3 for depth in (1, 2, 3) for act in ("relu", "tanh")
    }
    assert (drawn[0]["lr"], drawn[0]["depth"]) == (1e-3, 3)
    assert len({values["lr"] for values in drawn}) == 18


def test_a_combination_that_breaks_a_constraint_has_no_turn() -> None:
    searcher = build(_with_grid("depth <= most", "lr * 1000 <= depth"))
    drawn = [searcher.suggest(number, History()) for number in range(8)]
    assert Counter(values["depth"] for values in drawn) == {1: 4, 2: 4}
    assert all(math.floor(values["lr"] * 1000) <= values["depth"] for values in drawn)
    with pytest.raises(BadInput, match="every combination of the grid breaks a constraint"):
        build(_with_grid("depth >= most * 2"))
