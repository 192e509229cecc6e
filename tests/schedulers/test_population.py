"""The population schedulers on tables, without training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from schedulers.table import INTERVAL, Table

from rltune.catalog.algorithms import algorithm
from rltune.engine.episodes import REWARD
from rltune.request.resolve import make_spec
from rltune.runs.checkpoints import STATE_FILE
from rltune.schedulers import SCHEDULERS, row
from rltune.schedulers import build as build_scheduler
from rltune.schedulers.base import TIME, Action, SchedulerContext

POPULATIONS = [name for name in SCHEDULERS if row(name).population]
MODES = [(name, synchronous) for name in POPULATIONS for synchronous in (False, True)]


def by_number(name: str, clock: int, config: Mapping[str, Any]) -> float:
    """The higher a member's number, the faster it learns, whatever its settings."""
    return float(int(name[1:]))


@pytest.mark.parametrize(("scheduler", "synchronous"), MODES)
def test_every_exploit_stays_in_the_space_and_keeps_the_members_own_settings(
    scheduler: str, synchronous: bool
) -> None:
    table = Table(by_number, scheduler, steps=12_000, population={"synchronous": synchronous})
    seeds = {trial.id: trial.config["seed"] for trial in table.trials.values()}
    table.run()
    assert len(table.decisions) >= 8
    for decision in table.decisions:
        assert decision.kind == "exploit"
        assert decision.trial != decision.donor
        assert decision.requested.keys() == table.spec.space.keys()
        assert table.spec.space.contains({**table.spec.settings, **decision.requested})
    for trial in table.trials.values():
        assert trial.config["seed"] == seeds[trial.id], "a clone keeps its own randomness"
        assert table.clock[trial.id] == 12_000, "and its own clock"


@pytest.mark.parametrize("scheduler", POPULATIONS)
def test_the_first_exploit_changes_the_settings(scheduler: str) -> None:
    table = Table(by_number, scheduler)
    while not table.decisions:
        table.run(1)
    first = table.decisions[0]
    donor = table.trials[first.donor or ""]
    mutable = algorithm("ppo").mutable(table.spec.space)
    assert any(first.requested[name] != donor.config[name] for name in mutable)


@pytest.mark.parametrize("scheduler", POPULATIONS)
def test_structural_settings_move_with_the_weights(scheduler: str) -> None:
    space = {"fcnet_activation": {"choice": ["relu", "tanh"]}, "lr": {"log": [1e-4, 1e-2]}}
    table = Table(by_number, scheduler, space=space)
    for n, trial in enumerate(table.trials.values()):
        trial.config["fcnet_activation"] = "tanh" if n == 3 else "relu"
    table.run()
    assert table.decisions
    for decision in table.decisions:
        if decision.donor == "t03":
            assert decision.requested["fcnet_activation"] == "tanh"


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_no_member_falls_behind_while_it_waits(slots: int) -> None:
    table = Table(by_number, members=7, slots=slots, steps=12_000).run()
    for live, waiting in table.clocks:
        assert all(max(live.values()) - clock <= INTERVAL for clock in waiting.values())
    assert set(table.clock.values()) == {12_000}


def test_members_are_compared_at_the_same_age() -> None:
    """One slot: the member that has just trained has the highest return, and must not win by it."""
    table = Table(by_number, slots=1, steps=4_000).run()
    assert [d.trial for d in table.decisions if d.env_steps == INTERVAL] == ["t00"]


def test_equally_fast_members_exploit_without_waiting() -> None:
    """A slot each: the member that reports first at an age is compared at the age before."""
    table = Table(by_number, slots=4, steps=10_000).run()
    assert {decision.trial for decision in table.decisions} >= {"t00"}
    assert len(table.decisions) >= 4


def test_one_of_several_equally_bad_members_is_replaced() -> None:
    """Sparse rewards: three members have found nothing yet."""

    def gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
        return 1.0 if name == "t01" else 0.0

    table = Table(gain, population={"synchronous": True}).run()
    first = [decision for decision in table.decisions if decision.env_steps == INTERVAL]
    assert [(decision.trial, decision.donor) for decision in first] == [("t03", "t01")]


def test_synchronous_members_decide_together() -> None:
    table = Table(by_number, steps=8_000, population={"synchronous": True}).run()
    for clocks, _ in table.clocks:
        assert max(clocks.values()) - min(clocks.values()) <= INTERVAL
    steps = [decision.env_steps for decision in table.decisions]
    assert steps == sorted(steps)


def test_burn_in_margin_and_quantile_take_effect() -> None:
    late = Table(by_number, steps=8_000, population={"burn_in": 4_000}).run()
    assert min(decision.env_steps for decision in late.decisions) == 4_000
    strict = Table(by_number, population={"margin": 1e6}).run()
    assert strict.decisions == []
    half = Table(by_number, population={"quantile": 0.5, "synchronous": True})
    half.run()
    assert {d.trial for d in half.decisions if d.env_steps == INTERVAL} == {"t00", "t01"}


@pytest.mark.fault(33)
@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize("synchronous", [False, True])
def test_ties_and_tiny_populations_are_handled(members: int, synchronous: bool) -> None:
    options = {"synchronous": synchronous}
    tied = Table(lambda *_: 1.0, members=members, population=options).run()
    assert tied.decisions == []
    table = Table(by_number, members=members, population=options).run()
    assert all(decision.trial != decision.donor for decision in table.decisions)
    assert bool(table.decisions) == (members > 1)
    assert set(table.clock.values()) == {6_000}


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_diverged_member_is_overwritten_at_once(synchronous: bool) -> None:
    def gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
        return math.nan if name == "t02" and clock == 1_500 else 1.0 + int(name[1:])

    table = Table(gain, steps=8_000, population={"synchronous": synchronous}).run()
    rescue = next(decision for decision in table.decisions if decision.trial == "t02")
    assert rescue.env_steps == 1_500
    assert math.isfinite(table.trials["t02"].weights)
    assert set(table.clock.values()) == {8_000}
    assert all(d.donor != "t02" for d in table.decisions if d.env_steps == 1_500)


@pytest.mark.fault(30)
@pytest.mark.parametrize("synchronous", [False, True])
def test_a_population_whose_members_all_diverged_ends(synchronous: bool) -> None:
    table = Table(
        lambda name, clock, config: math.nan if clock >= 1_500 + 250 * int(name[1:]) else 1.0,
        population={"synchronous": synchronous, "margin": 1e9},
    ).run()
    assert all(trial.status == "stopped" for trial in table.trials.values())
    assert max(table.clock.values()) < 6_000


@pytest.mark.parametrize(("scheduler", "synchronous"), MODES)
def test_controls_are_neither_copied_nor_changed(scheduler: str, synchronous: bool) -> None:
    """The best of all and the worst of all are controls: the last two trials."""

    def gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
        return {"t04": 100.0, "t05": -100.0}.get(name, by_number(name, clock, config))

    options = {"synchronous": synchronous, "controls": 2}
    table = Table(gain, scheduler, 6, steps=8_000, population=options)
    starts = {trial.id: trial.config for trial in table.trials.values()}
    table.run()
    named = {name for decision in table.decisions for name in (decision.trial, decision.donor)}
    assert named == {"t00", "t01", "t02", "t03"} - (set() if "t01" in named else {"t01"})
    assert set(table.clock.values()) == {8_000}
    for control in ("t04", "t05"):
        assert table.trials[control].config == starts[control]


def test_members_decide_as_they_would_without_controls() -> None:
    told = []
    for controls in (0, 3):
        options = {"synchronous": True, "controls": controls}
        table = Table(by_number, members=4 + controls, slots=7, steps=8_000, population=options)
        told.append(table.run().decisions)
    assert told[0] == told[1]
    assert told[0]


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_control_that_diverges_ends_alone(synchronous: bool) -> None:
    def gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
        return math.nan if name == "t05" and clock == 1_500 else 1.0 + int(name[1:])

    options = {"synchronous": synchronous, "controls": 2}
    table = Table(gain, members=6, steps=8_000, population=options).run()
    assert table.trials["t05"].status == "stopped"
    assert [clock for name, clock in table.clock.items() if name != "t05"] == [8_000] * 5
    assert "t05" not in {d.trial for d in table.decisions if d.kind == "exploit"}


def test_controls_outlive_members_that_all_diverged() -> None:
    def gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
        return math.nan if int(name[1:]) < 3 and clock >= 1_500 else 1.0

    table = Table(gain, members=5, population={"controls": 2}).run()
    ended = {trial.id for trial in table.trials.values() if trial.status == "ended"}
    assert ended == {"t03", "t04"}
    assert {table.clock[name] for name in ended} == {6_000}


@pytest.mark.fault(32)
def test_a_damaged_donor_gives_way_to_the_next_best() -> None:
    table = Table(by_number, population={"synchronous": True})
    while len({trial.status for trial in table.trials.values()} - {"paused"}):
        table.run(1)
        if all(clock == INTERVAL for clock in table.clock.values()):
            break
    (table.checkpoint_of("t03") / STATE_FILE).write_text("0")
    table.run(1)
    assert [(d.trial, d.donor) for d in table.decisions[:1]] == [("t00", "t02")]
    assert any("t03 is no donor" in text for text in table.notices)


@pytest.mark.parametrize(("scheduler", "synchronous"), MODES)
def test_a_restored_state_continues_without_a_difference(scheduler: str, synchronous: bool) -> None:
    """Through JSON, in the middle of a sweep: the same decisions follow."""
    told = []
    for interrupted in (False, True):
        options = {"synchronous": synchronous}  # of eight, two are donors: one is drawn
        table = Table(by_number, scheduler, 8, steps=8_000, population=options)
        table.run(100)
        if interrupted:
            table.restart()
        table.run()
        told.append(table.decisions)
    assert told[0] == told[1]


@pytest.mark.parametrize("scheduler", [*POPULATIONS, "asha"])
def test_a_report_counts_once_its_checkpoint_is_written(scheduler: str) -> None:
    """Else a state could hold the score of an interval that is trained once more after a resume."""
    spec = make_spec("ppo", "cartpole", scheduler=scheduler, population={"perturb_every": INTERVAL})
    built = build_scheduler(SchedulerContext(spec))
    for trial in ("t00", "t01"):
        built.added(trial, spec.settings)
    for age in (1, 2, 3):
        before = json.dumps(built.get_state())
        built.reported("t00", {REWARD: float(age), TIME: age**2 * INTERVAL}, others_wait=True)
        assert json.dumps(built.get_state()) == before
        built.saved("t00")
        assert json.dumps(built.get_state()) != before


def test_a_clone_is_no_donor_before_it_has_a_checkpoint_of_its_own() -> None:
    """What it has saved is of the weights that it gave up."""

    def gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
        return math.nan if name == "t01" and clock == 1_250 else by_number(name, clock, config)

    table = Table(gain, members=2, slots=2, steps=8_000, seed=2)
    table.run()
    first, rescue = table.decisions[:2]
    assert (first.trial, first.donor) == ("t00", "t01")
    assert (rescue.trial, rescue.donor) == ("t01", "t00")
    assert table.changed_at[1]["t00"] >= first.env_steps + INTERVAL
    assert set(table.clock.values()) == {8_000}


def test_a_member_that_failed_while_it_was_saved_waits_like_any_other() -> None:
    table = Table(by_number, members=2, slots=2)
    scheduler = table.scheduler
    report = {REWARD: 1.0, TIME: INTERVAL}
    assert scheduler.reported("t01", report, others_wait=False) == Action.SAVE
    scheduler.ended("t01", None)
    scheduler.added("t01", table.trials["t01"].config)
    assert scheduler.reported("t01", report, others_wait=True) == Action.PAUSE
    scheduler.saved("t01")
    assert scheduler.members["t01"].waits
