"""Histories and spaces that libraries stumble over: each searcher that learns takes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rltune.request.resolve import make_spec
from rltune.searchers import READY, SEARCHERS, build
from rltune.searchers.history import History
from rltune.space import Constraint, Space, parse_parameter
from rltune.spec import FormerTrial, RunSpec

MIXED = {
    "lr": {"log": [1e-5, 1e-1]},
    "layers": {"int": [1, 3]},
    "activation": {"choice": ["relu", "tanh"]},
}
SPACES: dict[str, dict[str, Any]] = {
    "one number": {"x": {"uniform": [0.0, 1.0]}},
    "one choice": {"a": {"choice": ["x", "y", "z"]}},
    "choices": {"a": {"choice": [[1, 2], [3]]}, "b": {"choice": [True, False, None]}},
    "one option": {"x": {"uniform": [0.0, 1.0]}, "a": {"choice": ["only"]}},
    "options of other types": {"a": {"choice": [True, 1]}},
    "nothing to choose": {"a": {"choice": ["only"]}, "n": {"int": [3, 3]}},
    "one value": {"x": {"uniform": [0.0, 1.0]}, "n": {"int": [3, 3]}},
}
#: The score of trial number n; None for one that failed.
SCORES: dict[str, Callable[[int], float | None]] = {
    "failures alone": lambda n: None,
    "one success": lambda n: 1.0 if n == 7 else None,
    "equal": lambda n: 3.0,
    "huge": lambda n: (-1) ** n * 10.0 ** (26 * n),
    "not finite": lambda n: (math.nan, math.inf, -math.inf, float(n))[n % 4],
}

searchers = pytest.mark.parametrize(
    "searcher",
    [
        pytest.param(n, marks=pytest.mark.skipif(row.state != READY, reason=row.state))
        for n, row in SEARCHERS.items()
        if row.learns and not row.broken
    ],
)


def _spec(searcher: str, bodies: dict[str, Any]) -> RunSpec:
    space = Space({name: parse_parameter(name, body) for name, body in bodies.items()})
    spec = make_spec("ppo", "cartpole", trials=40, seed=1, name="a")
    settings = {**spec.settings, **{name: p.from_unit(0.5) for name, p in space.items()}}
    budget = replace(spec.budget, searcher=searcher)
    return replace(spec, space=space, settings=settings, budget=budget)


def _history(spec: RunSpec, score: Callable[[int], float | None], trials: int = 12) -> History:
    """Random draws that ran one after the other, and one that still runs."""
    history, rng = History(), np.random.default_rng(0)
    for n in range(trials):
        history.started(f"t{n:02d}", spec.space.sample(rng), seed=n)
        known = score(n)
        history.reported(f"t{n:02d}", 500, 0.5 if known is None else known)
        history.ended(f"t{n:02d}", failed=known is None)
    history.started("t99", spec.space.sample(rng), seed=99)
    return history


def _check(spec: RunSpec, history: History) -> dict[str, Any]:
    """A suggestion that lies in the space, and that another searcher repeats."""
    number = len(history)
    values = build(spec).suggest(number, history)
    assert values.keys() == spec.space.keys()
    assert spec.space.contains({**spec.settings, **values})
    assert build(spec).suggest(number, history) == values
    return values


@searchers
@pytest.mark.parametrize("scores", SCORES)
def test_odd_scores_are_survived(searcher: str, scores: str) -> None:
    spec = _spec(searcher, MIXED)
    _check(spec, _history(spec, SCORES[scores]))


@searchers
@pytest.mark.parametrize("space", SPACES)
def test_small_spaces_are_searched(searcher: str, space: str) -> None:
    spec = _spec(searcher, SPACES[space])
    _check(spec, _history(spec, lambda n: math.sin(n)))


@searchers
def test_defaults_that_break_a_constraint_are_not_suggested(searcher: str) -> None:
    spec = _spec(searcher, {"x": {"uniform": [0.0, 1.0], "default": 0.9}})
    space = replace(spec.space, constraints=(Constraint.parse("x <= 0.5"),))
    _check(replace(spec, space=space), History())


@searchers
def test_a_point_may_be_tried_again_and_again(searcher: str) -> None:
    spec = _spec(searcher, MIXED)
    history = History()
    for n in range(12):
        history.started(f"t{n:02d}", {"lr": 1e-3, "layers": 2, "activation": "tanh"}, seed=n)
        history.reported(f"t{n:02d}", 500, math.sin(n))
        history.ended(f"t{n:02d}")
    _check(spec, history)


@searchers
def test_former_runs_count(searcher: str) -> None:
    """Those whose settings lie outside of the space, or that lack one, are left out."""
    spec = _spec(searcher, MIXED)
    drawn = np.random.default_rng(0)
    former = [
        FormerTrial(f"run/t{n:02d}", spec.space.sample(drawn), 0, "ended", [(500, math.sin(n))])
        for n in range(12)
    ]
    outside = [
        FormerTrial("run/t50", {**former[0].settings, "lr": 5.0}, 0, "ended", [(1, 9.0)]),
        FormerTrial("run/t51", {"lr": 1e-3}, 0, "failed", []),
    ]
    known = _check(spec, History([*former, *outside]))
    assert known == _check(spec, History(former))


@searchers
def test_stopped_trials_count(searcher: str) -> None:
    spec = _spec(searcher, MIXED)
    history, rng = History(), np.random.default_rng(0)
    for n in range(12):
        history.started(f"t{n:02d}", spec.space.sample(rng), seed=n)
        for clock in range(1, 2 + n % 4):
            history.reported(f"t{n:02d}", 500 * clock, math.sin(n) + clock)
        history.stopped(f"t{n:02d}")
        history.ended(f"t{n:02d}")
    _check(spec, history)


@searchers
def test_where_trials_fail_is_left(searcher: str) -> None:
    """A failure counts as bad, and is not forgotten: half of the space fails."""
    spec = _spec(searcher, MIXED)
    one, history, failed = build(spec), History(), []
    for n in range(20 if SEARCHERS[searcher].slow else 36):
        values = one.suggest(n, history)
        failed.append(values["lr"] > 1e-3)
        history.started(f"t{n:02d}", values, seed=n)
        history.reported(f"t{n:02d}", 500, 1.0 - 0.1 * values["layers"])
        history.ended(f"t{n:02d}", failed=failed[-1])
    assert np.mean(failed[-8:]) < 0.4


@pytest.mark.parametrize("searcher", ["tpe", "gp"])
def test_the_first_trials_are_those_of_random_search(searcher: str) -> None:
    """Two sweeps with one seed differ by what is learned, and not by the luck of their draws."""
    spec, history = _spec(searcher, MIXED), History()
    learner, draws = build(spec), build(_spec("random", MIXED))
    suggested, drawn = [], []
    for n in range(12):
        suggested.append(learner.suggest(n, history))
        drawn.append(draws.suggest(n, history))
        history.started(f"t{n:02d}", suggested[-1], seed=n)
        history.reported(f"t{n:02d}", 500, math.sin(n))
        history.ended(f"t{n:02d}")
    assert suggested[:10] == drawn[:10]
    assert suggested[10:] != drawn[10:]
