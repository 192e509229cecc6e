"""Settings that are judged on several seeds, on curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

import rltune
from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.searchers.history import History
from rltune.searchers.seeds import JudgedHistory, next_seed, winner
from rltune.simulator import Simulation
from rltune.spec import RunSpec

SPACE = {"x": {"uniform": [0.0, 1.0]}}
SEEDS = 4


def score(settings: Mapping[str, Any], env_steps: int) -> float:
    """Above 0.5 settings learn on some seeds alone, below on every one, if not so well."""
    lucky = (int(1e6 * settings["x"]) + settings["seed"]) % 3 == 0
    best = 1.8 * settings["x"] if settings["x"] < 0.5 else lucky
    return 100 * best * env_steps / 10_000


def _run(**options: Any) -> Simulation:
    budget = {"trials": 16, "seeds_per_trial": SEEDS, "perturb_every": 4_000}
    options = {"scheduler": "fifo", "report_every": 2_000, **budget, **options}
    return rltune.simulate(score, SPACE, **options)


def _history(found: Simulation) -> History:
    """The sweep's history, from what its trials came to."""
    history = History()
    numbers: dict[float, int] = {}
    for trial in found.trials:
        number = numbers.setdefault(trial.start["x"], len(numbers))
        history.started(trial.id, trial.start, trial.config["seed"], number)
    for trial in found.trials:
        for report in trial.reports:
            history.reported(trial.id, report.env_steps, report.metrics["score"])
        if trial.status == "stopped":
            history.stopped(trial.id)
        history.ended(trial.id, failed=trial.status == "failed")
    return history


def test_only_the_better_half_gets_more_seeds() -> None:
    found = _run(concurrent=1)
    settings = _history(found).settings()
    assert len(settings) == 16
    seeds = [[trial.seed for trial in trials] for trials in settings]
    longest = max(seeds, key=len)
    assert len(longest) == SEEDS
    assert len(set(longest)) == SEEDS
    assert all(some == longest[: len(some)] for some in seeds), "the same seeds, in one order"
    assert 16 + 4 <= len(found.trials) < 3 * 16
    alone = [trials for trials in settings if len(trials) == 1]
    further = [trials for trials in settings if len(trials) > 1]
    assert len(further) <= len(alone) + 2
    assert max(trials[0].score or 0 for trials in further) >= max(
        trials[0].score or 0 for trials in alone
    )


@pytest.mark.parametrize("judge", ["mean", "iqm", "worst"])
def test_settings_that_fail_on_some_seeds_do_not_win(judge: str) -> None:
    """One run each is a weak judge: it takes lucky settings for the best."""
    wins = {1: 0, SEEDS: 0}
    for seed in range(10):
        for seeds in wins:
            asked = {} if seeds == 1 else {"judge": judge}
            found = _run(seeds_per_trial=seeds, seed=seed, trials=24 // seeds + 4, **asked)
            history = _history(found)
            best = winner(history, found.spec.budget)
            assert best is not None
            wins[seeds] += history.settings()[best][0].settings["x"] < 0.5
    assert wins[SEEDS] > wins[1] + 3


@pytest.mark.parametrize("concurrent", [1, 4])
@pytest.mark.parametrize("searcher", ["random", "tpe"])
def test_a_killed_race_continues(searcher: str, concurrent: int) -> None:
    """One trial at a time: the same one; several: a race of the same size that ends."""
    whole = _run(searcher=searcher, concurrent=concurrent)
    killed = _run(searcher=searcher, concurrent=concurrent, kills=[3, 20, 70])
    told = [[(t.id, t.start, t.config["seed"]) for t in run.trials] for run in (whole, killed)]
    if concurrent == 1:
        assert told[0] == told[1]
    assert len(_history(killed).settings()) == 16
    assert max(map(len, _history(killed).settings())) == SEEDS


def test_stopped_and_failed_settings_get_no_more_seeds() -> None:
    found = _run(scheduler="asha", failures=lambda config, _: config["x"] > 0.9, max_failures=0)
    assert {"stopped", "failed"} <= {trial.status for trial in found.trials}
    for trials in _history(found).settings():
        assert {trial.status for trial in trials[:-1]} <= {"ended"}
    assert max(map(len, _history(found).settings())) == SEEDS


def test_a_searcher_sees_settings() -> None:
    history = History()
    history.started("t00", {"x": 0.1}, seed=7)
    history.started("t01", {"x": 0.2}, seed=7)
    for trial, value in (("t00", 1.0), ("t01", 5.0)):
        history.reported(trial, 100, value)
        history.ended(trial)
    history.started("t02", {"x": 0.2}, seed=8, setting=1)
    history.reported("t02", 100, 2.0)
    history.ended("t02")
    for judge, judged in {"mean": 3.5, "worst": 2.0}.items():
        seen = JudgedHistory(history, judge)
        assert [(one.settings["x"], one.score) for one in seen.trials] == [
            (0.1, 1.0),
            (0.2, judged),
        ]
        assert len(seen) == 2
    assert [one.status for one in JudgedHistory(history, "mean").before(1).trials] == ["running"]
    state = history.get_state()
    again = History()
    again.set_state(state)
    assert [len(trials) for trials in again.settings()] == [1, 2]


def test_a_run_without_a_history_is_resumed() -> None:
    """Runs of the first version kept none: later trials are still numbered from their index."""
    history = History()
    history.started("t05", {"x": 0.1}, seed=1, setting=5)
    history.ended("t05")
    assert [trial.status for trial in history.trials] == ["ended"]


def test_the_last_setting_in_the_race_gets_all_its_seeds() -> None:
    budget = make_spec("ppo", "cartpole", scheduler="fifo", trials=1, seeds_per_trial=3).budget
    history = History()
    for number in range(3):
        history.started(f"t{number:02d}", {"x": 0.1}, seed=number, setting=0)
        assert next_seed(history, budget) is None
        history.reported(f"t{number:02d}", 100, 1.0)
        history.ended(f"t{number:02d}")
        assert next_seed(history, budget) == (0 if number < 2 else None)


def test_a_target_is_reached_over_all_seeds() -> None:
    """Lucky settings come to 100 at once; those that come to 20 on every seed end the sweep."""
    found = _run(target=20.0, judge="worst", concurrent=1)
    assert found.stop_reason == "target"
    history = _history(found)
    best = winner(history, found.spec.budget)
    assert best is not None
    scores = [trial.score for trial in history.settings()[best]]
    assert len(scores) == SEEDS
    assert min(score or -math.inf for score in scores) >= 20
    assert _run(target=1_000.0, judge="worst").stop_reason == "steps"
    assert _run(target=math.inf, mode="min").stop_reason == "steps", "inf is for never"


def test_what_several_seeds_do_not_go_with_is_refused() -> None:
    with pytest.raises(BadInput, match="members of pb2 change their settings"):
        make_spec("ppo", "cartpole", scheduler="pb2", seeds_per_trial=2)
    with pytest.raises(BadInput, match="judge is of several seeds"):
        make_spec("ppo", "cartpole", scheduler="fifo", judge="worst")
    with pytest.raises(BadInput, match="seeds_per_trial must be at least 1"):
        make_spec("ppo", "cartpole", scheduler="fifo", seeds_per_trial=0)
    spec = make_spec("ppo", "cartpole", scheduler="fifo", seeds_per_trial=3, judge="iqm")
    assert RunSpec.from_dict(spec.to_dict()).budget == spec.budget
