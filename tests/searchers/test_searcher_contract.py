"""What every searcher of the table promises."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from spaces import constrained_space

from rltune.request.resolve import make_spec
from rltune.searchers import SEARCHERS, Searcher, build, starting_point
from rltune.spec import RunSpec

every_searcher = pytest.mark.parametrize("searcher", SEARCHERS)


def _spec(searcher: str, seed: int = 2, **options: Any) -> RunSpec:
    return make_spec("ppo", "cartpole", trials=5, seed=seed, searcher=searcher, **options)


def _suggest(searcher: Searcher, count: int) -> list[dict[str, Any]]:
    """Suggestions whose trials end before the next one is asked for."""
    suggestions = []
    for score in range(count):
        suggestions.append(searcher.suggest())
        searcher.completed(suggestions[-1], None if score == 1 else float(score))
    return suggestions


@every_searcher
def test_suggestions_lie_in_the_space_and_keep_its_constraints(searcher: str) -> None:
    space = constrained_space()
    defaults = space.sample(np.random.default_rng(0), {"settled": 8})
    spec = replace(_spec(searcher), settings={"settled": 8, **defaults}, space=space)
    for values in _suggest(build(spec), 200):
        assert values.keys() == space.keys()
        assert space.contains({**spec.settings, **values})
        assert not space.broken({**spec.settings, **values})


@every_searcher
def test_equal_seeds_make_equal_suggestions(searcher: str) -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second, other = (_suggest(build(_spec(searcher, seed)), 12) for seed in (4, 4, 5))
    assert first == second != other
    assert len({json.dumps(values) for values in first}) == 12
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@every_searcher
@pytest.mark.parametrize("count", [0, 1, 7])
def test_another_searcher_with_the_saved_state_suggests_the_same(searcher: str, count: int) -> None:
    spec = _spec(searcher)
    first, second = build(spec), build(spec)
    _suggest(first, count)
    second.set_state(json.loads(json.dumps(first.get_state())))
    assert _suggest(second, 5) == _suggest(first, 5)
    assert second.get_state() == first.get_state()


@every_searcher
def test_points_come_before_the_searcher(searcher: str) -> None:
    points = [{"lr": 5e-4}, {"gamma": 0.99, "clip_param": 0.15}]
    spec = make_spec("ppo", "cartpole", trials=5, seed=2, searcher=searcher, points=points)
    starts = [starting_point(spec, chosen, n) for chosen in [build(spec)] for n in range(5)]
    assert starts[0]["lr"] == 5e-4
    assert starts[0]["gamma"] == spec.settings["gamma"]
    assert starts[1]["clip_param"] == 0.15
    assert all(spec.space.contains(start) for start in starts)
    assert len({start["seed"] for start in starts}) == 5
    assert len({start["lr"] for start in starts[2:]}) == 3
    again = build(spec)
    again.suggest()
    state = json.loads(json.dumps(again.get_state()))
    fresh = build(spec)
    fresh.set_state(state)
    assert fresh.suggest() == again.suggest()
