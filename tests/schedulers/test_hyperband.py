"""HyperBand's brackets keep what Tune's keep, and never wait for a trial that does not come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers.hb_bohb import HyperBandForBOHB
from schedulers.table import Table

from rltune.options import Budget
from rltune.request.resolve import make_spec
from rltune.schedulers.base import TIME, Action, SchedulerContext
from rltune.schedulers.brackets import brackets, milestones, one_round
from rltune.schedulers.hyperband import HyperBand, build
from rltune.spec import RunSpec

UNIT = 1_000


def _spec(trials: int, units: int = 9, mode: str = "max", factor: int = 3) -> RunSpec:
    return make_spec(
        "ppo",
        "cartpole",
        scheduler="hyperband",
        trials=trials,
        steps=units * UNIT,
        mode=mode,
        population={"perturb_every": UNIT, "reduction_factor": factor},
        settings={"min_sample_timesteps_per_iteration": UNIT},
    )


@dataclass(eq=False)
class Stub:
    """What Tune's scheduler looks at of a trial."""

    trial_id: str
    status: str = TuneTrial.PENDING
    is_saving: bool = False


class Ours:
    """One trial at a time, each report one unit of its clock."""

    def __init__(self, spec: RunSpec) -> None:
        self.scheduler = build(SchedulerContext(spec))
        self.waiting = [f"t{n:02d}" for n in range(spec.budget.trials)]
        for name in self.waiting:
            self.scheduler.added(name, spec.settings)

    def choose(self) -> str | None:
        turn = self.scheduler.choose(self.waiting)
        for name in turn.stops:
            self.waiting.remove(name)
            self.scheduler.ended(name, None)
        if turn.start is not None:
            self.waiting.remove(turn.start)
        return turn.start

    def reported(self, name: str, report: dict[str, Any]) -> bool:
        """Whether the trial trains on."""
        if self.scheduler.reported(name, report, bool(self.waiting)) is Action.CONTINUE:
            return True
        self.scheduler.saved(name)
        self.waiting.append(name)
        return False

    def ended(self, name: str, report: dict[str, Any] | None) -> None:
        self.scheduler.ended(name, report)


class Tunes:
    """The same with Tune's scheduler, whose clock counts units."""

    def __init__(self, spec: RunSpec) -> None:
        budget = spec.budget
        self.scheduler = HyperBandForBOHB(
            time_attr=TIME,
            metric=spec.metric,
            mode=spec.mode,
            max_t=budget.steps // UNIT,
            reduction_factor=budget.reduction_factor,
            stop_last_trials=False,
        )
        self.trials = {name: Stub(name) for name in (f"t{n:02d}" for n in range(budget.trials))}
        silent = SimpleNamespace(on_pause=lambda _: None, on_unpause=lambda _: None)
        self.controller: Any = SimpleNamespace(
            search_alg=SimpleNamespace(searcher=silent),
            stop_trial=self.stop,
            get_trials=lambda: list(self.trials.values()),
        )
        for trial in self.trials.values():
            self.scheduler.on_trial_add(self.controller, trial)  # type: ignore[arg-type]

    def stop(self, trial: Any) -> None:
        trial.status = TuneTrial.TERMINATED
        self.scheduler.on_trial_remove(self.controller, trial)

    def choose(self) -> str | None:
        trial = self.scheduler.choose_trial_to_run(self.controller)
        if trial is None:
            return None
        trial.status = TuneTrial.RUNNING
        return str(trial.trial_id)

    def reported(self, name: str, report: dict[str, Any]) -> bool:
        trial: Any = self.trials[name]
        report = {**report, TIME: report[TIME] // UNIT}
        answer = self.scheduler.on_trial_result(self.controller, trial, report)
        if answer == "PAUSE":
            trial.status = TuneTrial.PAUSED
        elif answer == "STOP":
            self.stop(trial)
        return answer == "CONTINUE"

    def ended(self, name: str, report: dict[str, Any] | None) -> None:
        trial: Any = self.trials[name]
        trial.status = TuneTrial.TERMINATED
        self.scheduler.on_trial_remove(self.controller, trial)


def _ages(side: Ours | Tunes, spec: RunSpec, seed: int) -> dict[str, int]:
    """The age that each trial ends at; one in ten fails for good at a random age."""
    rng = np.random.default_rng(seed)
    units = spec.budget.steps // UNIT
    trials = [f"t{n:02d}" for n in range(spec.budget.trials)]
    scores = {name: rng.normal(size=units) for name in trials}
    fails = {name: int(rng.integers(1, 10 * units)) for name in trials}
    ages = dict.fromkeys(trials, 0)
    while (name := side.choose()) is not None:
        while True:
            if ages[name] + 1 == fails[name]:
                side.ended(name, None)
                break
            ages[name] += 1
            report = {TIME: ages[name] * UNIT, spec.metric: scores[name][ages[name] - 1]}
            if ages[name] == units:
                side.ended(name, report)
                break
            if not side.reported(name, report):
                break
    return ages


@pytest.mark.parametrize(("units", "factor", "rounds"), [(9, 3, 1), (27, 3, 2), (16, 2, 1)])
@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("seed", range(5))
def test_trials_go_as_far_as_with_tunes_scheduler(
    units: int, factor: int, rounds: int, mode: str, seed: int
) -> None:
    plan = one_round(Budget(steps=units * UNIT, perturb_every=UNIT, reduction_factor=factor))
    spec = _spec(rounds * sum(bracket.size for bracket in plan), units, mode, factor)
    ours, tunes = (_ages(side(spec), spec, seed) for side in (Ours, Tunes))
    assert ours == tunes
    assert len(set(ours.values())) > 2, "some stop at a rung"


def test_brackets_are_those_of_the_paper() -> None:
    """Li et al. 2018, table 1: R = 81, eta = 3."""
    plan = one_round(Budget(steps=81, perturb_every=1))
    assert [bracket.size for bracket in plan] == [81, 34, 15, 8, 5]
    assert [bracket.milestones[:1] for bracket in plan] == [(1,), (3,), (9,), (27,), ()]
    assert plan[0].milestones == (1, 3, 9, 27)


def test_trials_fill_the_brackets_in_order() -> None:
    budget = Budget(steps=9_000, perturb_every=1_000, trials=20)
    assert [bracket.size for bracket in brackets(budget)] == [9, 5, 3, 3]
    assert milestones(budget) == [1_000, 3_000]
    assert milestones(Budget(steps=9_000, perturb_every=9_000)) == []
    assert sum(bracket.size for bracket in brackets(Budget(trials=1))) == 1


def _by_number(name: str, clock: int, config: Mapping[str, Any]) -> float:
    return float(name[1:])


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("members", [1, 2, 4, 9, 12, 40])
def test_it_never_waits_for_ever(members: int, slots: int) -> None:
    """Fewer trials than a bracket, some that fail for good, some without a score."""

    def gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
        return math.nan if name.endswith("7") and clock == 500 else _by_number(name, clock, config)

    table = Table(gain, "hyperband", members=members, slots=slots, steps=9_000)
    failed, before = 0, -1
    while (now := len(table.clocks)) > before:
        before = now
        table.run(3)
        running = table.running
        if running and failed < members // 3:
            table.lose(running[0])
            failed += 1
    assert all(trial.is_over for trial in table.trials.values())
    assert max(table.clock.values()) == 9_000 or failed == members


def test_a_failed_trial_leaves_its_place_to_another() -> None:
    spec = _spec(9)
    side = Ours(spec)
    for _ in range(8):
        name = side.choose() or ""
        side.reported(name, {TIME: UNIT, spec.metric: float(name[1:])})
    side.ended(side.choose() or "", None)
    assert side.choose() == "t05", "5, 6 and 7 go on, 8 would have"
    assert sorted(side.waiting) == ["t06", "t07"]


def test_a_report_of_no_number_ranks_last() -> None:
    spec = _spec(9)
    side = Ours(spec)
    for score in (math.nan, None, -math.inf, *range(6)):
        report = {TIME: UNIT} if score is None else {TIME: UNIT, spec.metric: score}
        side.reported(side.choose() or "", report)
    assert side.choose() == "t06"
    assert sorted(side.waiting) == ["t07", "t08"]


def test_a_trial_that_comes_late_goes_on_if_it_would_have_been_kept() -> None:
    """A rung may be decided before a trial is there that was not expected."""
    spec = _spec(6)
    scheduler: HyperBand = build(SchedulerContext(spec))
    names = [f"t{n:02d}" for n in range(8)]
    for name in names[:6]:
        scheduler.added(name, spec.settings)
        scheduler.reported(name, {TIME: UNIT, spec.metric: float(name[1:])}, True)
        scheduler.saved(name)
    assert scheduler.choose([]).stops == ["t00", "t01", "t02", "t03"]
    for name, score in (("t06", 4.5), ("t07", 3.0)):
        scheduler.added(name, spec.settings)
        scheduler.reported(name, {TIME: UNIT, spec.metric: score}, True)
        scheduler.saved(name)
    turn = scheduler.choose(["t06", "t07"])
    assert turn.start == "t06"
    assert "t07" in turn.stops
