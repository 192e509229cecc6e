"""The Pareto front of trials, beside what every pair of them says."""

from __future__ import annotations

import math
from itertools import product

import pytest

from rltune.metric import Metric
from rltune.runs.front import front, last_values
from rltune.runs.records import Report
from rltune.runs.summary_record import Summary, TrialOutcome

GOALS = (Metric("score"), Metric("cost", "min"))


def _trial(name: str, *values: float | None, status: str = "TERMINATED") -> TrialOutcome:
    objectives = dict(zip(("score", "cost"), values, strict=True))
    return TrialOutcome(id=name, status=status, error=None, objectives=objectives)


def test_a_front_has_equal_trials_and_none_that_failed_or_lacks_a_value() -> None:
    trials = [
        _trial("t00", 5.0, 3.0),
        _trial("t01", 9.0, 7.0),
        _trial("t02", 5.0, 3.0),  # equal to the first
        _trial("t03", 5.0, 4.0),  # as good, and dearer
        _trial("t04", 99.0, 0.0, status="DIVERGED"),
        _trial("t05", 99.0, 0.0, status="ERROR"),
        _trial("t06", 99.0, None),
        _trial("t07", 1.0, 0.5),
    ]
    found = front(trials, GOALS)
    assert [point.trial for point in found] == ["t01", "t00", "t02", "t07"]
    assert found[0].values == {"score": 9.0, "cost": 7.0}
    assert front([], GOALS) == front(trials[4:7], GOALS) == []


@pytest.mark.parametrize("goals", [2, 3, 4])
def test_no_trial_beats_one_on_the_front_and_one_beats_each_that_is_not(goals: int) -> None:
    names = [f"m{number}" for number in range(goals)]
    metrics = [Metric(name, ("max", "min")[number % 2]) for number, name in enumerate(names)]
    trials = [
        TrialOutcome(
            id=f"t{number:02d}",
            status="TERMINATED",
            error=None,
            objectives={n: float((7 * number * (k + 3)) % 11) for k, n in enumerate(names)},
        )
        for number in range(40)
    ]
    on_it = {point.trial for point in front(trials, metrics)}

    def beats(one: TrialOutcome, other: TrialOutcome) -> bool:
        pairs = [(m.score_of(one.objectives), m.score_of(other.objectives)) for m in metrics]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        return all(a >= b for a, b in known) and any(a > b for a, b in known)

    beaten = {other.id for one, other in product(trials, trials) if beats(one, other)}
    assert on_it == {trial.id for trial in trials} - beaten
    assert 0 < len(on_it) < 40


def test_a_value_that_is_not_finite_is_none() -> None:
    rows = [
        Report("t00", 1, 10, 10, 1.0, 3.0, {}, metrics={"cost": 2.0, "test/loss": 0.5}),
        Report("t00", 2, 20, 10, 2.0, None, {}, train_seconds=1.5, metrics={"cost": math.inf}),
    ]
    goals = [Metric.parse(one) for one in ("episode_reward_mean", "-seconds", "-cost", "test/loss")]
    assert last_values(rows, goals) == {
        **{"episode_reward_mean": 3.0, "seconds": 1.5},
        **{"cost": 2.0, "test/loss": 0.5},
    }
    assert last_values([], goals[:1]) == {"episode_reward_mean": None}


def test_a_summary_keeps_its_front() -> None:
    trials = [_trial("t00", 5.0, 3.0)]
    summary = Summary(
        best=None,
        evaluation=None,
        env_steps=1,
        wall_seconds=1.0,
        trials=trials,
        stop_reason="steps",
        objective=["score", "-cost"],
        front=front(trials, GOALS),
    )
    assert Summary.from_dict(summary.to_dict()) == summary
    plain = Summary(
        best=None, evaluation=None, env_steps=1, wall_seconds=1.0, trials=[], stop_reason=""
    )
    assert not {"front", "objective"} & plain.to_dict().keys()
