"""Suggestions that pay by the second: chosen by predicted cost, and exact after a kill."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.searchers import SEARCHERS, build
from rltune.searchers.cost_aware import FEWEST_TRIALS, log_improvement, spent
from rltune.searchers.history import History
from rltune.simulator import simulate

SPACE = {
    "lr": {"log": [1e-5, 1e-1], "default": 1e-3},
    "size": {"uniform": [0.0, 1.0], "default": 0.5},
    "kind": {"choice": ["a", "b"], "default": "a"},
}
DRAWS = [name for name, row in SEARCHERS.items() if row.draws]


def _score(settings: Mapping[str, Any], env_steps: int) -> float:
    if settings["lr"] > 3e-2:
        return math.nan  # diverges
    return -abs(math.log10(settings["lr"]) + 3)


def _seconds(settings: Mapping[str, Any]) -> float:
    return 0.001 * 20 ** float(settings["size"])


def _simulated(**options: Any) -> Any:
    asked = {"scheduler": "fifo", "trials": 24, "steps": 100, "concurrent": 1, **options}
    return simulate(_score, SPACE, seconds_per_step=_seconds, **asked)


@pytest.mark.parametrize("searcher", DRAWS)
def test_a_killed_search_suggests_the_same(searcher: str) -> None:
    options = {"searcher": searcher, "cost_aware": True, "report_every": 100}
    whole = _simulated(**options)
    starts = [trial.start for trial in whole.trials]
    assert starts == [t.start for t in _simulated(**options, kills=[9, 15]).trials]
    plain = [trial.start for trial in _simulated(searcher=searcher).trials]
    assert starts[:FEWEST_TRIALS] == plain[:FEWEST_TRIALS], "nothing is known of costs"
    assert starts != plain
    assert all(whole.spec.space.contains(start) for start in starts)


def test_of_settings_that_promise_as_much_the_cheap_ones_are_tried_first() -> None:
    """The score is noise: costs alone tell settings apart, and less and less."""
    options = {"scheduler": "fifo", "trials": 40, "steps": 100, "report_every": 100, "noise": 1.0}
    sizes = [
        [
            trial.start["size"]
            for trial in simulate(
                lambda *_: 0.0,
                SPACE,
                seconds_per_step=_seconds,
                cost_aware=True,
                seed=seed,
                **options,
            ).trials
        ]
        for seed in range(5)
    ]
    first, last = np.mean(sizes, axis=0)[FEWEST_TRIALS:23], np.mean(sizes, axis=0)[23:]
    assert first.mean() < 0.45
    assert first.mean() < last.mean()


def test_an_early_stop_makes_no_setting_cheap() -> None:
    found = _simulated(scheduler="asha", steps=900, cost_aware=True, searcher="tpe")
    assert {"stopped"} <= {trial.status for trial in found.trials}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"searcher": "sobol"}, "searcher sobol has one suggestion .* use searcher random, tpe"),
        ({"searcher": "grid"}, "searcher grid has one suggestion"),
        ({"searcher": "cmaes"}, "searcher cmaes has one suggestion"),
        ({"scheduler": "pb2"}, "cost_aware: pb2 changes settings while trials train"),
        ({"objective": "episode_reward_mean,-seconds"}, "give -seconds there instead"),
        ({"seeds_per_trial": 2}, "settings that race on several seeds"),
        ({"space": {"lr": {"grid": [1e-3, 1e-4]}}}, "every option of lr is tried"),
    ],
)
def test_where_no_cost_decides_it_is_refused(options: dict[str, Any], told: str) -> None:
    asked = {"scheduler": "asha", "cost_aware": True, **options}
    if "objective" in options:
        asked["scheduler"] = "fifo"
    with pytest.raises(BadInput, match=told):
        make_spec("ppo", "cartpole", **asked)


def test_the_spent_share_is_that_of_what_ends_first() -> None:
    spec = make_spec(
        "ppo", "cartpole", scheduler="fifo", trials=10, total_steps=40_000, time_budget=100.0
    )
    history = History()
    history.started("t00", {}, 1)
    history.reported("t00", 10_000, 1.0, seconds=5.0)
    assert spent(spec, history, 1) == 0.1, "a trial that runs may report again after a resume"
    history.ended("t00")
    assert spent(spec, history, 1) == 0.25
    assert spent(spec, history, 30) == 1.0


def test_the_improvement_is_exact_and_stays_finite_far_below_the_best() -> None:
    lead = np.linspace(-8, 8, 161)
    exact = lead * norm.cdf(lead) + norm.pdf(lead)
    assert np.allclose(log_improvement(lead), np.log(exact), rtol=1e-4)
    far = log_improvement(np.array([-1e4, -100.0, -31.0, -29.0]))
    assert np.isfinite(far).all()
    assert (np.diff(far) > 0).all()


def test_a_history_of_odd_scores_is_taken() -> None:
    spec = make_spec(
        "ppo", "cartpole", scheduler="fifo", trials=40, cost_aware=True, searcher="random"
    )
    searcher, history = build(spec), History()
    for number, score in enumerate([1e300, -1e300, 0.0, None, 5.0, 5.0, 5.0, math.nan, 2.0]):
        history.started(f"t{number:02d}", searcher.suggest(number, history), seed=number)
        history.reported(f"t{number:02d}", 1_000, score, seconds=0.0 if number == 2 else 1.0)
        history.ended(f"t{number:02d}", failed=number == 4)
    assert spec.space.contains({**spec.settings, **searcher.suggest(9, history)})
