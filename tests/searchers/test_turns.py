"""Grid parameters: every option is tried, the other settings are drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.searchers import SEARCHERS, build, check
from rltune.searchers.history import History
from rltune.space import Constraint, Space, parse_parameter
from rltune.spec import RunSpec

BODIES: dict[str, dict[str, Any]] = {
    "lr": {"log": [1e-4, 1e-2], "default": 1e-3},
    "layers": {"grid": [1, 2, 3], "default": 2},
    "units": {"int": [1, 8], "default": 4},
    "activation": {"grid": ["relu", "tanh"], "default": "tanh"},
}
SPACE = Space({name: parse_parameter(name, body) for name, body in BODIES.items()})
THE_REST = [name for name, row in SEARCHERS.items() if not row.grids and not row.broken]


def _spec(searcher: str, trials: int, *constraints: str, points: int = 0) -> RunSpec:
    spec = make_spec("ppo", "cartpole", scheduler="fifo", trials=trials, seed=3)
    space = replace(SPACE, constraints=tuple(map(Constraint.parse, constraints)))
    budget = replace(spec.budget, searcher=searcher)
    given = ({"lr": 1e-3},) * points
    return replace(spec, space=space, settings=SPACE.defaults(), budget=budget, points=given)


def _suggested(spec: RunSpec) -> list[dict[str, Any]]:
    searcher, history = build(spec), History()
    return [searcher.suggest(number, history) for number in range(spec.budget.trials)]


@pytest.mark.parametrize("searcher", ["random", "sobol"])
def test_every_combination_is_tried_equally_often(searcher: str) -> None:
    suggested = _suggested(_spec(searcher, 12))
    tried = Counter((values["layers"], values["activation"]) for values in suggested)
    assert len(tried) == 6
    assert set(tried.values()) == {2}
    assert len({values["lr"] for values in suggested}) == 12
    assert all(list(values) == list(SPACE) and SPACE.contains(values) for values in suggested)


def test_random_search_still_starts_from_the_preset() -> None:
    assert _suggested(_spec("random", 6))[0] == SPACE.defaults()


@pytest.mark.parametrize("searcher", ["random", "sobol"])
def test_a_combination_that_breaks_a_constraint_is_left_out(searcher: str) -> None:
    suggested = _suggested(_spec(searcher, 8, "layers <= 2", "layers * 2 <= units"))
    assert Counter(values["layers"] for values in suggested) == {1: 4, 2: 4}
    assert all(values["layers"] * 2 <= values["units"] for values in suggested)


@pytest.mark.parametrize("searcher", ["random", "sobol"])
def test_too_few_trials_name_the_number(searcher: str) -> None:
    with pytest.raises(
        BadInput,
        match="layers, activation has 6 combinations, beside 2 given points: set trials to 8",
    ):
        build(_spec(searcher, 7, points=2))


@pytest.mark.parametrize("searcher", THE_REST)
def test_other_searchers_refuse_a_grid_and_say_what_to_write(searcher: str) -> None:
    if SEARCHERS[searcher].state != "ready":
        pytest.skip(SEARCHERS[searcher].state)
    with pytest.raises(BadInput, match="layers, activation equally often: write choice instead"):
        check(searcher, SPACE)
    with pytest.raises(BadInput, match="write choice instead of grid, or use searcher random"):
        make_spec("ppo", "cartpole", searcher=searcher, space={"lr": {"grid": [1e-3, 1e-4]}})
