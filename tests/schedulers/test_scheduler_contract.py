"""What every scheduler of the table promises, on tables of returns."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from schedulers.table import Table
from spaces import OF_PPO

from rltune.request.resolve import make_spec
from rltune.schedulers import SCHEDULERS, build, limit
from rltune.schedulers.base import Action, SchedulerContext

every_scheduler = pytest.mark.parametrize("scheduler", SCHEDULERS)


def by_settings(name: str, clock: int, config: Mapping[str, Any]) -> float:
    """What settings a trial runs at decides how fast it learns; its seed makes them all differ."""
    return math.exp(-((math.log10(config["lr"]) + 3.0) ** 2)) + config["seed"] % 7 / 100


def _run(scheduler: str, seed: int = 0, **options: Any) -> Table:
    options = {"members": 6, "slots": 2, "steps": 12_000, **options}
    return Table(by_settings, scheduler, seed=seed, **options)


@cache
def _undisturbed(scheduler: str, **options: Any) -> Table:
    """A sweep that runs to its end."""
    return _run(scheduler, **options).run()


def _told(table: Table) -> list[tuple[Any, ...]]:
    return [(d.kind, d.trial, d.env_steps, d.donor, d.requested) for d in table.decisions]


@every_scheduler
def test_every_trial_ends(scheduler: str) -> None:
    table = _run(scheduler).run()
    assert all(trial.is_over for trial in table.trials.values())
    stopped = {decision.trial for decision in table.decisions if decision.kind == "stop"}
    assert {name for name, clock in table.clock.items() if clock < 12_000} == stopped


@every_scheduler
def test_equal_seeds_make_equal_decisions(scheduler: str) -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    tables = [_run(scheduler, seed=3).run() for _ in range(2)]
    assert _told(tables[0]) == _told(tables[1])
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@every_scheduler
@pytest.mark.parametrize("space", [{}, OF_PPO], ids=["preset", "every kind"])
def test_settings_of_changes_lie_in_the_space(scheduler: str, space: dict[str, Any]) -> None:
    table = _run(scheduler, space=space).run()
    for trial in table.trials.values():
        assert table.spec.space.contains(trial.config)
        assert not table.spec.space.broken(trial.config)
    for decision in table.decisions:
        assert decision.requested.keys() in (table.spec.space.keys(), set())


@every_scheduler
@pytest.mark.parametrize("reports", [10, 33, 70])
def test_another_scheduler_with_the_saved_state_decides_the_same(
    scheduler: str, reports: int
) -> None:
    whole = _undisturbed(scheduler, save_every=1)
    table = _run(scheduler, save_every=1).run(reports)
    table.restart()
    assert _told(table.run()) == _told(whole)
    assert table.clock == whole.clock


@every_scheduler
def test_a_saved_state_never_changes(scheduler: str) -> None:
    """What is the same object as in the state before is not written again."""
    table, states = _run(scheduler, save_every=1), []
    for _ in range(30):
        states.append(table.scheduler.get_state())
        states.append(copy.deepcopy(states[-1]))
        table.run(3)
    assert states[::2] == states[1::2]


@every_scheduler
@pytest.mark.parametrize("reports", [3, 21, 50, 97])
def test_a_killed_sweep_decides_what_it_would_have(scheduler: str, reports: int) -> None:
    """Trials go back to their last checkpoints and report once more what they had reported."""
    whole = _undisturbed(scheduler, slots=1, save_every=3)
    table = _run(scheduler, slots=1, save_every=3).run(reports)
    table.kill()
    assert _told(table.run()) == _told(whole)
    assert table.clock == whole.clock


@every_scheduler
def test_a_failed_trial_is_tried_again(scheduler: str) -> None:
    table = _run(scheduler, save_every=2).run(25)
    running = table.running[0]
    table.fail(running)
    table.run()
    assert all(trial.is_over for trial in table.trials.values())


@every_scheduler
@pytest.mark.parametrize("slots", [1, 3])
def test_trials_that_fail_for_good_hold_up_nobody(scheduler: str, slots: int) -> None:
    table = _run(scheduler, members=9, slots=slots, save_every=2)
    for _ in range(4):
        table.run(9)
        running = table.running
        if running:
            table.lose(running[0])
    table.run()
    assert all(trial.is_over for trial in table.trials.values())
    assert max(table.clock.values()) == 12_000


@every_scheduler
def test_trials_that_come_late_are_waited_for(scheduler: str) -> None:
    """Tune hands a trial out when the one before it has started; a resume changes nothing."""
    whole = _run(scheduler, members=9, slots=1, late=True, save_every=1).run()
    table = _run(scheduler, members=9, slots=1, late=True, save_every=1)
    table.run(20).kill()
    assert _told(table.run()) == _told(whole)
    assert all(trial.is_over for trial in table.trials.values())


@every_scheduler
def test_it_decides_something(scheduler: str) -> None:
    """With a budget that its own notice finds large enough."""
    table = _run(scheduler, members=17).run()
    assert limit(table.spec.budget) is None or scheduler == "bohb"
    kinds = {decision.kind for decision in table.decisions}
    row = SCHEDULERS[scheduler]
    assert kinds == (set() if scheduler == "fifo" else {"exploit" if row.population else "stop"})


@every_scheduler
def test_a_smaller_metric_is_larger_with_its_sign_changed(scheduler: str) -> None:
    """Equal decisions for returns to maximise and for their negatives to minimise."""
    largest = _run(scheduler).run()
    smallest = _run(scheduler, mode="min")
    smallest.gain = lambda *trial: -by_settings(*trial)
    assert _told(smallest.run()) == _told(largest)


@every_scheduler
def test_a_report_without_a_score_is_survived(scheduler: str) -> None:
    spec = make_spec("ppo", "cartpole", scheduler=scheduler)
    built = build(SchedulerContext(spec))
    built.added("t00", spec.settings)
    assert built.choose([]).start is None
    assert built.choose(["t00"]).start == "t00"
    for score in ({}, {spec.metric: math.nan}):
        report = {"env_steps": spec.budget.perturb_every, **score}
        assert built.reported("t00", report, others_wait=True) in (Action.CONTINUE, Action.PAUSE)
        built.saved("t00")
    json.dumps(built.get_state())
    built.ended("t00", None)
    assert built.choose([]).start is None


@every_scheduler
def test_of_more_than_100_trials_the_earliest_starts_first(scheduler: str) -> None:
    spec = make_spec("ppo", "cartpole", scheduler=scheduler, trials=120)
    built = build(SchedulerContext(spec))
    names = [f"t{number:02d}" for number in range(120)]
    for name in names:
        built.added(name, spec.settings)
    order = []
    waiting = list(names)
    while waiting:
        order.append(built.choose(waiting).start)
        waiting.remove(order[-1] or "")
    assert order == names
