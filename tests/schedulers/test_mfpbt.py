"""Sub-populations that decide at intervals of their own, on tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from schedulers.table import INTERVAL, Table

from rltune.options import Budget
from rltune.runs.records import Decision
from rltune.schedulers.limits import multi_frequency
from rltune.schedulers.mfpbt import MultiFrequency, frequencies

MODES = pytest.mark.parametrize("synchronous", [False, True])


def _group(name: str | None) -> int:
    """0: the dynamic sub-population, 1: the steady one."""
    return int((name or "t0")[1:]) % 2


def _ran(gain: Any, synchronous: bool = True, **options: Any) -> tuple[Table, list[Decision]]:
    table = Table(
        gain, "mfpbt", 8, slots=8, steps=10_000, population={"synchronous": synchronous}, **options
    )
    table.run()
    return table, table.decisions


def _even_lead(name: str, clock: int, config: Mapping[str, Any]) -> float:
    """Members of the dynamic sub-population are the better ones, the first one most of all."""
    return 10.0 - int(name[1:]) + (100.0 if _group(name) == 0 else 0.0)


def _odd_lead(name: str, clock: int, config: Mapping[str, Any]) -> float:
    return 10.0 - int(name[1:]) + (100.0 if _group(name) == 1 else 0.0)


@MODES
def test_each_sub_population_decides_at_its_own_intervals(synchronous: bool) -> None:
    table, decisions = _ran(_even_lead, synchronous)
    assert isinstance(table.scheduler, MultiFrequency)
    steady = frequencies(table.spec.budget)[1]
    assert steady == 4
    ages = [{d.env_steps for d in decisions if _group(d.trial) == group} for group in (0, 1)]
    assert INTERVAL in ages[0]
    assert ages[1]
    assert ages[1] <= {steady * INTERVAL, 2 * steady * INTERVAL}
    assert set(table.clock.values()) == {10_000}


@MODES
def test_the_worst_quarter_copies_its_own_sub_population(synchronous: bool) -> None:
    """Migrants are better, and yet they are for the quarter above it."""
    _, decisions = _ran(_even_lead, synchronous)
    first = next(d for d in decisions if _group(d.trial) == 1 and d.trial == "t07")
    assert _group(first.donor) == 1


def test_weights_from_the_dynamic_side_train_at_the_steady_sides_settings() -> None:
    table, decisions = _ran(_even_lead)
    migrant = next(d for d in decisions if _group(d.trial) == 1 and _group(d.donor) == 0)
    assert migrant.trial == "t05"
    leader = table.trials["t01"].config  # the best of the steady ones, which nobody has changed
    assert migrant.requested == {name: leader[name] for name in table.spec.space}
    assert table.trials["t05"].weights > table.trials["t01"].weights


def test_settings_come_along_from_the_steady_side() -> None:
    table, decisions = _ran(_odd_lead)
    migrant = next(d for d in decisions if _group(d.trial) == 0 and _group(d.donor) == 1)
    assert migrant.env_steps == INTERVAL
    donor = table.trials[migrant.donor or ""].config
    assert migrant.requested == {name: donor[name] for name in table.spec.space}


def test_structural_settings_go_with_the_weights() -> None:
    space = {"fcnet_activation": {"choice": ["relu", "tanh"]}, "lr": {"log": [1e-4, 1e-2]}}
    table = Table(
        _even_lead, "mfpbt", 8, slots=8, steps=10_000, space=space, population={"synchronous": True}
    )
    for name, trial in table.trials.items():
        trial.config["fcnet_activation"] = "tanh" if _group(name) == 0 else "relu"
    table.run()
    crossed = [d for d in table.decisions if _group(d.trial) == 1 and _group(d.donor) == 0]
    assert crossed
    assert {d.requested["fcnet_activation"] for d in crossed} == {"tanh"}


@MODES
def test_a_sub_population_that_diverged_is_rescued_by_the_other(synchronous: bool) -> None:
    def gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
        return math.nan if _group(name) == 1 and clock == 1_500 else 1.0 + int(name[1:])

    table, decisions = _ran(gain, synchronous)
    rescued = {d.trial for d in decisions if _group(d.trial) == 1 and _group(d.donor) == 0}
    assert rescued
    assert set(table.clock.values()) == {10_000}
    assert all(math.isfinite(trial.weights) for trial in table.trials.values())


def test_controls_are_in_no_sub_population() -> None:
    table = Table(_even_lead, "mfpbt", 11, slots=11, steps=10_000, population={"controls": 3})
    table.run()
    named = {name for d in table.decisions for name in (d.trial, d.donor)}
    assert named
    assert not named & {"t08", "t09", "t10"}


def test_few_members_are_one_population_which_is_said() -> None:
    few = Budget(scheduler="mfpbt", trials=7, steps=100_000, perturb_every=10_000)
    assert frequencies(few) == [1]
    assert "mfpbt with 7 members is pbt" in (multi_frequency(few) or "")
    enough = Budget(scheduler="mfpbt", trials=8, steps=100_000, perturb_every=10_000)
    assert multi_frequency(enough) is None
    reserved = Budget(scheduler="mfpbt", trials=8, controls=1, steps=100_000, perturb_every=10_000)
    assert "`trials` = 9" in (multi_frequency(reserved) or "").replace("trials=9", "`trials` = 9")
