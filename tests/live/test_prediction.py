"""The end of a sweep on tables of reports whose future is known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rltune.live.prediction import GRACE, Known, Trial, Work, evaluation_end, predict
from rltune.options import UNTIL_RETURN, Budget
from rltune.sweeps.stopping import SweepStopper


def known(
    budget: Budget, seconds: int, places: int = 2, stops: dict[int, int] | None = None, **more: Any
) -> tuple[Known, float]:
    """What is known of a search after some seconds, and when its training will end.

    A trial takes a second for 100 steps, in one of the places, as soon as that is free; ``stops``
    are environment steps at which trials end early, by their number.
    """
    free, trials, work = [0] * places, [], []
    for number in range(budget.trials):
        place = free.index(min(free))
        began, final = free[place], (stops or {}).get(number, budget.steps)
        free[place] += final // 100
        done = min(final, 100 * max(0, seconds - began))
        if done:
            reports = range(began + 1, began + done // 100 + 1)
            work += [Work(second, 100, 1.0, second == began + 1) for second in reports]
            trials.append(Trial(done, done >= final, began, reports[-1]))
    return Known(budget, trials, sorted(work), **more), max(free)


def test_a_search_ends_when_its_last_place_is_free() -> None:
    budget = Budget(steps=1_000, trials=5, scheduler="fifo")
    for seconds in (4, 10, 15, 25, 29):
        course, end = known(budget, seconds)
        outlook = predict(course)
        assert end == 30
        assert outlook.likely == pytest.approx(end, rel=0.05)
        assert outlook.at_most is not None
        assert outlook.at_most >= end


def test_members_that_take_turns_share_the_machine() -> None:
    budget = Budget(steps=1_000, trials=4, perturb_every=200, scheduler="pb2")
    trials = [Trial(400, False, 0.0, 7.0), Trial(400, False, 0.0, 8.0)]
    trials += [Trial(400, False, 2.0, 7.0), Trial(400, False, 2.0, 8.0)]
    work = [Work(second, 100, 1.0, False) for second in range(1, 9) for _ in range(2)]
    assert predict(Known(budget, trials, work)).likely == pytest.approx(20.0)


def test_the_first_report_says_little_of_the_speed() -> None:
    """Before learning starts, steps are cheap."""
    budget = Budget(steps=1_000, trials=1, scheduler="fifo")
    work = [Work(0.1, 100, 0.1, True), *(Work(n + 0.1, 100, 1.0, False) for n in range(1, 4))]
    outlook = predict(Known(budget, [Trial(400, False, 0.0, 3.1)], work))
    assert outlook.likely == pytest.approx(9.1, abs=0.2)


def test_trials_that_asha_will_stop_are_expected_to_stop() -> None:
    budget = Budget(steps=900, trials=24, perturb_every=100, scheduler="asha")
    rungs = [900, 100, 300, 100, 100, 300, 100, 100]
    course, end = known(budget, 12, stops={n: rungs[n % 8] for n in range(24)})
    outlook = predict(course)
    assert outlook.likely == pytest.approx(end, rel=0.2)
    assert outlook.at_most is not None
    assert outlook.at_most > 2 * end


@pytest.mark.parametrize("scheduler", ["hyperband", "median"])
def test_trials_that_others_stop_are_expected_to_stop(scheduler: str) -> None:
    budget = Budget(steps=900, trials=12, perturb_every=100, scheduler=scheduler)
    course, _ = known(budget, 12, stops=dict.fromkeys(range(4), 300))
    outlook = predict(course)
    assert outlook.likely is not None
    assert outlook.at_most is not None
    assert outlook.likely < outlook.at_most / 1.4


def test_with_a_target_there_is_a_bound_alone() -> None:
    course, end = known(Budget(steps=1_000, trials=5, scheduler="fifo", target=475.0), 10)
    outlook = predict(course)
    assert outlook.likely is None
    assert outlook.at_most is not None
    assert outlook.at_most >= end
    course, end = known(Budget(steps=1_000, trials=5, scheduler="fifo", target=math.inf), 10)
    assert predict(course).likely == pytest.approx(end, rel=0.05)


def test_a_time_budget_is_a_bound_from_the_start() -> None:
    budget = Budget(steps=1_000, trials=5, scheduler="fifo", time_budget=20.0)
    assert SweepStopper.GRACE == GRACE
    assert predict(Known(budget, [], [])).at_most == 20.0 + GRACE
    course, _ = known(budget, 10)
    outlook = predict(course)
    assert outlook.likely == 20.0
    assert outlook.at_most is not None
    assert 20.0 < outlook.at_most <= 20.0 + GRACE


def test_scoring_comes_after_training() -> None:
    budget = Budget(steps=1_000, trials=2, scheduler="fifo")
    without, _ = known(budget, 5)
    course, _ = known(budget, 5, episodes=200, episode_steps=100.0)
    outlook, shorter = predict(course), predict(without)
    assert outlook.likely is not None
    assert shorter.likely is not None
    assert outlook.likely - shorter.likely > 5


def test_a_function_without_steps_takes_as_long_as_those_before() -> None:
    budget = Budget(steps=UNTIL_RETURN, trials=6, scheduler="fifo")
    stops = dict.fromkeys(range(6), 500)
    assert predict(known(budget, 4, stops=stops)[0]).likely is None
    outlook = predict(known(budget, 8, stops=stops)[0])
    assert outlook.likely == pytest.approx(15.0, abs=0.1)
    assert outlook.at_most is None


def test_nothing_is_said_without_reports() -> None:
    budget = Budget(steps=1_000, trials=5, scheduler="fifo")
    assert predict(Known(budget, [], [])).likely is None
    assert predict(known(budget, 1)[0]).at_most is None


def test_an_evaluation_ends_at_the_speed_of_its_episodes() -> None:
    assert evaluation_end(8.0, 10.0, done=20, left=180) == 28.0
    assert evaluation_end(8.0, 10.0, done=0, left=180) is None
