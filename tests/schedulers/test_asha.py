"""Asynchronous successive halving decides as Tune's does, on random tables."""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import ASHAScheduler

from rltune.options import Budget
from rltune.request.resolve import make_spec
from rltune.schedulers.asha import build, rungs
from rltune.schedulers.base import TIME, Action, SchedulerContext
from rltune.spec import RunSpec


def _spec(first: int, last: int, mode: str) -> RunSpec:
    settings = {"min_sample_timesteps_per_iteration": 10}
    return make_spec(
        "ppo",
        "cartpole",
        scheduler="asha",
        steps=last,
        mode=mode,
        settings=settings,
        population={"perturb_every": first},
    )


def _tunes(spec: RunSpec) -> Any:
    return ASHAScheduler(
        time_attr=TIME,
        metric=spec.metric,
        mode=spec.mode,
        max_t=spec.budget.steps,
        grace_period=min(spec.budget.perturb_every, spec.budget.steps),
        reduction_factor=3,
        stop_last_trials=False,
    )


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("seed", range(15))
def test_equal_reports_get_the_answers_of_tunes_scheduler(seed: int, mode: str) -> None:
    """Scores with ties, without a value and not finite; clocks that pass several rungs at once."""
    rng = np.random.default_rng(seed)
    spec = _spec(10 * int(rng.integers(1, 20)), 10 * int(rng.integers(20, 400)), mode)
    ours, tunes = build(SchedulerContext(spec)), _tunes(spec)
    trials = {f"t{n:02d}": SimpleNamespace(trial_id=f"t{n:02d}") for n in range(12)}
    for name, trial in trials.items():
        ours.added(name, spec.settings)
        tunes.on_trial_add(None, trial)
    clock, stops = dict.fromkeys(trials, 0), 0
    while trials:
        name = list(trials)[rng.integers(len(trials))]
        clock[name] += int(rng.integers(1, spec.budget.steps // 4))
        score = float(
            rng.choice([rng.normal(), 0.0, math.nan, -math.inf], p=[0.7, 0.2, 0.08, 0.02])
        )
        report = {TIME: clock[name]}
        if rng.random() < 0.9:
            report[spec.metric] = score
        ends = clock[name] >= spec.budget.steps
        with warnings.catch_warnings():
            # Tune's takes percentiles of no numbers at all.
            warnings.simplefilter("ignore", RuntimeWarning)
            if ends:
                tunes.on_trial_complete(None, trials[name], report)
                ours.ended(name, report)
            else:
                answer = tunes.on_trial_result(None, trials[name], report)
                action = ours.reported(name, report, others_wait=True)
                assert (action is Action.STOP) == (answer == "STOP")
                assert action in (Action.STOP, Action.CONTINUE)
                if action is Action.STOP:
                    stops += 1
                    tunes.on_trial_complete(None, trials[name], report)
                    ours.ended(name, report)
                    ends = True
        if ends:
            del trials[name]
    assert [rung.scores for rung in ours._rungs] == [
        pytest.approx(recorded, nan_ok=True) for _, recorded in tunes._brackets[0]._rungs
    ]
    assert stops


def test_rungs_lie_where_tunes_do() -> None:
    rng = np.random.default_rng(0)
    for first, factor in [(1, 9), (1, 27), (1000, 3), *rng.integers(1, 500, (200, 2)).tolist()]:
        budget = Budget(steps=first * factor, perturb_every=first)
        tunes = ASHAScheduler(max_t=first * factor, grace_period=first, reduction_factor=3)
        assert [rung.milestone for rung in rungs(budget)] == [
            milestone for milestone, _ in tunes._brackets[0]._rungs
        ], budget


def test_a_state_leaves_out_what_was_reported_since_the_checkpoint() -> None:
    spec = _spec(1_000, 9_000, "max")
    scheduler = build(SchedulerContext(spec))
    scheduler.reported("t00", {TIME: 1_000, spec.metric: 1.0}, others_wait=True)
    scheduler.saved("t00")
    scheduler.reported("t00", {TIME: 3_000, spec.metric: 2.0}, others_wait=True)
    assert scheduler.get_state() == {"rungs": [{}, {}, {"t00": 1.0}]}
    scheduler.saved("t00")
    assert scheduler.get_state() == {"rungs": [{}, {"t00": 2.0}, {"t00": 1.0}]}
