"""BOHB's model: which scores it compares, and what it proposes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from rltune.request.resolve import make_spec
from rltune.searchers import build
from rltune.searchers.bohb import Density, largest_budget, score_at
from rltune.searchers.history import History, PastTrial
from rltune.space import Space, parse_parameter

OPTIONS = np.array([3])


def _trial(**scores: float | None) -> PastTrial:
    clocks = {int(clock.removeprefix("at")): score for clock, score in scores.items()}
    return PastTrial("t", {}, status="stopped", scores=clocks)


def test_the_largest_budget_is_one_that_enough_trials_have_reached() -> None:
    trials = [_trial(at900=1.0)] * 6 + [_trial(at900=1.0, at2700=2.0)] * 3
    trials += [_trial(at900=1.0, at2700=None), replace(_trial(at8100=0.0), status="failed")]
    assert largest_budget(trials, 3) == 2_700
    assert largest_budget(trials, 4) == 900
    assert largest_budget(trials, 11) is None


def test_a_trial_has_the_score_at_the_budget_not_its_last() -> None:
    trial = _trial(at900=1.0, at1100=2.0, at8100=9.0)
    assert score_at(trial, 1_000) == 1.0
    assert score_at(trial, 1_200) == 2.0
    assert score_at(trial, 500) == 1.0  # it reports less often than the budget asks for
    assert score_at(trial, 20_000) is None
    assert score_at(replace(trial, status="failed"), 1_000) is None


def test_a_density_knows_options_that_its_data_lacks() -> None:
    data = np.array([[0.2, 1.0], [0.3, 1.0], [0.25, 1.0]])
    density = Density.of(data, OPTIONS)
    one, other, third, far = density.at(np.array([[0.25, 1], [0.25, 0], [0.25, 2], [0.9, 1]]))
    assert one > other == third > 0
    assert one > far
    drawn = density.draw(500, np.random.default_rng(0))
    assert drawn[:, 0].min() >= 0
    assert drawn[:, 0].max() <= 1
    assert set(drawn[:, 1]) <= {0, 1, 2}


@pytest.mark.parametrize("running", [False, True])
def test_proposals_follow_the_scores_of_the_largest_common_budget(running: bool) -> None:
    """Scores past it, of two trials, and those before it say the opposite."""
    space = Space({"x": parse_parameter("x", {"uniform": [0.0, 1.0]})})
    spec = make_spec("ppo", "cartpole", scheduler="fifo", trials=99, seed=1)
    budget = replace(spec.budget, searcher="bohb")
    searcher = build(replace(spec, space=space, settings={"x": 0.5}, budget=budget))
    history = History()
    scores: Mapping[int, Callable[[float], float]] = {
        300: lambda x: -x,
        900: lambda x: x,
        2_700: lambda x: -x,
    }
    for number in range(30):
        name, x = f"t{number:02d}", (number * 0.37) % 1
        history.started(name, {"x": x}, seed=number)
        for clock, score in scores.items():
            if clock < 2_700 or number < 2:
                history.reported(name, clock, score(x))
        if not running:
            history.ended(name)
    proposals = [searcher.suggest(number, history)["x"] for number in range(30, 70)]
    assert np.median(proposals) > 0.7
