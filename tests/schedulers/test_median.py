"""The median stopping rule decides as Tune's does where both report once an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import MedianStoppingRule

from rltune.request.resolve import make_spec
from rltune.schedulers.base import TIME, Action, SchedulerContext
from rltune.schedulers.median import build
from rltune.spec import RunSpec

EVERY = 1_000


@dataclass(eq=False)
class Stub:
    """What Tune's rule looks at of a trial."""

    trial_id: str


def _spec(mode: str = "max", least: int = 3) -> RunSpec:
    return make_spec(
        "ppo",
        "cartpole",
        scheduler="median",
        trials=12,
        steps=20 * EVERY,
        mode=mode,
        population={"perturb_every": EVERY, "min_samples": least},
        settings={"min_sample_timesteps_per_iteration": EVERY},
    )


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("seed", range(10))
def test_equal_reports_get_the_answers_of_tunes_rule(seed: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    spec = _spec(mode, least=int(rng.integers(1, 5)))
    ours = build(SchedulerContext(spec))
    tunes: Any = MedianStoppingRule(
        TIME, spec.metric, mode, EVERY, min_samples_required=spec.budget.min_samples
    )
    nobody_waits: Any = SimpleNamespace(get_live_trials=list)
    trials: dict[str, Any] = {f"t{n:02d}": Stub(f"t{n:02d}") for n in range(12)}
    for name in trials:
        ours.added(name, spec.settings)
    clock, stops = dict.fromkeys(trials, 0), 0
    while trials:
        name = list(trials)[rng.integers(len(trials))]
        clock[name] += EVERY
        score = float(rng.choice([rng.normal(), 0.0], p=[0.8, 0.2]))
        report = {TIME: clock[name], spec.metric: score}
        ends = clock[name] == spec.budget.steps
        if not ends:
            answer = tunes.on_trial_result(nobody_waits, trials[name], report)
            action = ours.reported(name, report, others_wait=True)
            assert (action is Action.STOP) == (answer == "STOP")
            ends = action is Action.STOP
            stops += ends
        if ends:
            tunes.on_trial_complete(nobody_waits, trials.pop(name), report)
            ours.ended(name, report)
    assert stops


def _reports(scheduler: Any, name: str, *scores: float | None) -> list[Action]:
    """The answers to reports of half an interval each."""
    answers = []
    for place, score in enumerate(scores, 1):
        report = {TIME: place * EVERY // 2} | ({} if score is None else {_spec().metric: score})
        answers.append(scheduler.reported(name, report, others_wait=True))
    return answers


def test_a_trial_is_stopped_at_the_end_of_an_interval_alone() -> None:
    spec = _spec()
    scheduler = build(SchedulerContext(spec))
    for number in range(4):
        scheduler.added(f"t{number:02d}", spec.settings)
    for name in ("t00", "t01", "t02"):
        assert set(_reports(scheduler, name, 1.0, 3.0, 5.0, 7.0)) == {Action.CONTINUE}
    # The mean of the others is 2 after one interval and 4 after two.
    answers = _reports(scheduler, "t03", 0.0, 2.0, 2.5, 3.0)
    assert answers == [Action.CONTINUE] * 3 + [Action.STOP]


def test_a_trial_without_a_score_is_left_alone() -> None:
    spec = _spec(least=1)
    scheduler = build(SchedulerContext(spec))
    for number in range(2):
        scheduler.added(f"t{number:02d}", spec.settings)
    _reports(scheduler, "t00", 1.0, 1.0)
    assert _reports(scheduler, "t01", None, math.nan) == [Action.CONTINUE] * 2


def test_a_state_leaves_out_what_was_reported_since_the_checkpoint() -> None:
    spec = _spec()
    scheduler = build(SchedulerContext(spec))
    scheduler.added("t00", spec.settings)
    _reports(scheduler, "t00", 1.0, 3.0)
    scheduler.saved("t00")
    scheduler.reported("t00", {TIME: 2 * EVERY, spec.metric: 9.0}, others_wait=True)
    again = build(SchedulerContext(spec))
    again.set_state(scheduler.get_state())
    again.added("t00", spec.settings)
    assert again._curves["t00"].means == (2.0,)
    scheduler.ended("t00", None)  # it failed, and continues from its checkpoint
    scheduler.added("t00", spec.settings)
    assert scheduler._curves == again._curves
