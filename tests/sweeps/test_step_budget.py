"""Environment steps that all trials of a sweep may spend together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import short
from conftest import ROOT
from schedulers.table import REPORT, Table
from warm import run_rltune

from rltune.errors import BadInput
from rltune.metric import Metric
from rltune.options import Budget
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.schedulers import SCHEDULERS
from rltune.schedulers.base import TIME
from rltune.step_budget import StepBudget
from rltune.sweeps.extension import extended
from rltune.sweeps.stopping import SweepStopper


def _gain(name: str, clock: int, config: Mapping[str, Any]) -> float:
    return -abs(math.log10(config["lr"]) + 3) + config["seed"] % 5 / 10


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("total", [9_000, 20_300, 31_111])
@pytest.mark.parametrize("slots", [1, 3, 8])
def test_a_sweep_ends_within_half_a_report_of_it(scheduler: str, total: int, slots: int) -> None:
    members = 8 if SCHEDULERS[scheduler].population else 60
    table = Table(_gain, scheduler, members, slots=slots, total_steps=total, late=members > 8).run()
    assert table.stop_reason == "total_steps"
    assert abs(table.machine.env_steps - total) <= REPORT / 2
    assert all(trial.is_over for trial in table.trials.values())


def test_a_budget_that_trials_do_not_spend_changes_nothing() -> None:
    plain, roomy = Table(_gain).run(), Table(_gain, total_steps=10**9).run()
    assert roomy.stop_reason == "steps"
    assert roomy.decisions == plain.decisions


def test_trials_that_train_have_their_next_report_set_aside() -> None:
    live = {"t00": True, "t01": True, "t02": False}
    step_budget = StepBudget(1_000, 0, lambda: live)
    assert step_budget.has_room()
    for name in ("t00", "t01"):
        step_budget.started(name)
        step_budget.spent(name, 300, 300)
    assert not step_budget.has_room("t00"), "600, 300 that t01 brings, and half of 300: 1,050"
    step_budget.told("t01")
    live["t01"] = False
    assert step_budget.has_room("t00"), "600 and half of 300"
    step_budget.spent("t00", 300, 600)
    assert not step_budget.has_room("t00")
    assert not step_budget.is_used_up, "t00 has its last checkpoint to write"
    step_budget.told("t00")
    live["t00"] = False
    assert step_budget.is_used_up


@pytest.mark.parametrize("total", range(700_000, 760_001, 7_000))
def test_a_report_that_finishes_episodes_is_foreseen(total: int) -> None:
    """As of a population on LunarLander: 2,000 steps a report, and with most third ones 16,000."""
    rng = np.random.default_rng(total)
    live = {f"t{number}": True for number in range(8)}
    budget = StepBudget(total, 0, lambda: live, 2_000, range(6_000, 60_001, 6_000))
    ages, spent = dict.fromkeys(live, 0), 0
    while any(live.values()):
        for name in [name for name, trains in live.items() if trains]:
            ages[name] += 2_000
            finished = rng.choice([0, 10_000, 14_000, 16_000]) if ages[name] % 6_000 == 0 else 0
            steps = 2_000 + int(finished)
            spent += steps
            budget.spent(name, steps, ages[name])
            if not budget.has_room(name):
                budget.told(name, short=True)
                live[name] = False
    assert abs(spent - total) <= 9_000
    assert budget.cut_short


def test_the_first_report_after_a_resume_is_taken_for_what_it_is() -> None:
    live = {"t00": True, "t01": False}
    budget = StepBudget(25_000, 0, lambda: live, 2_000, range(6_000, 60_001, 6_000))
    budget.spent("t01", 16_000, 42_000)
    budget.spent("t00", 2_000, 38_000)
    assert budget.has_room("t00"), "18,000, and half of 2,000"
    budget.spent("t00", 2_000, 40_000)
    assert not budget.has_room("t00"), "20,000, and half of 16,000 as of t01: it ends an interval"


def test_fewer_steps_than_one_report_are_refused() -> None:
    with pytest.raises(BadInput, match="total_steps 10 is less than one report of one trial"):
        make_spec("ppo", "cartpole", total_steps=10)


def test_trials_that_start_together_have_their_first_reports_set_aside() -> None:
    live: dict[str, bool] = {}
    budget = StepBudget(2_500, live=lambda: live, report=1_000)
    started = 0
    while budget.has_room():
        budget.started(f"t{started:02d}")
        live[f"t{started:02d}"] = True
        started += 1
    assert started == 3, "two and a half reports"


def test_a_resumed_budget_knows_what_was_spent() -> None:
    step_budget = StepBudget(1_000, 900, dict)
    step_budget.spent("t00", 200, 200)
    assert not step_budget.has_room("t00")


def test_a_report_that_tune_sends_twice_is_counted_once() -> None:
    """As a function returns; a trial that is tried again reports the same iteration again."""
    budget = Budget(scheduler="fifo", trials=9, steps=100, total_steps=100)
    stopper = SweepStopper(
        budget,
        Metric(),
        rescues=False,
        step_budget=StepBudget(100, live=lambda: {"t00": True}),
    )
    row = {TIME: 30, "env_steps_this_iter": 30, "training_iteration": 1}
    assert not stopper("t00", row)
    assert not stopper("t00", {**row, "done": True}), "30 and 30 of its next report"
    assert not stopper("t00", row), "it failed, and is tried again"
    assert stopper("t00", {**row, TIME: 60, "training_iteration": 2, "done": True})


def test_a_report_that_diverged_is_counted() -> None:
    budget = Budget(scheduler="fifo", trials=9, steps=100, total_steps=100)
    step_budget = StepBudget(100, live=lambda: {"t00": True, "t01": True})
    stopper = SweepStopper(budget, Metric(), rescues=False, step_budget=step_budget)
    row = {TIME: 30, "env_steps_this_iter": 30, "training_iteration": 1}
    assert stopper("t00", {**row, "diverged": {"env_steps": 30, "what": "loss", "value": "nan"}})
    assert not stopper("t01", row), "60, and half of 30"
    assert stopper("t01", {**row, TIME: 60, "training_iteration": 2}), "90, and half of 30"


@pytest.mark.slow
@pytest.mark.parametrize("concurrent", ["1", "2"])
def test_a_sweep_of_functions_counts_each_report_once(
    tmp_path: Path, cluster_address: str, concurrent: str
) -> None:
    """And starts no trial once nothing is left for its report: with two slots one always trains."""
    (tmp_path / "once.py").write_text(
        "import time, rltune\ndef train(config):\n    time.sleep(0.3 + config['seed'] % 3 / 10)\n"
        "    rltune.report({'score': config['lr']})\n"
    )
    words = ("tune", "once.py:train", "--space", "lr={log=[1e-4,1e-1]}", "--metric", "score")
    more = ("--trials", "40", "--total-steps", "5", "--concurrent", concurrent, "--json")
    done = run_rltune(tmp_path, *words, *more, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["stop_reason"], summary["env_steps"]) == ("total_steps", 5)


@pytest.mark.slow
def test_a_population_that_finishes_episodes_ends_within_half_a_report(
    tmp_path: Path, cluster_address: str
) -> None:
    """Reports of 256 steps, at the end of an interval of 5,000: there the budget is used up."""
    words = ("ppo", f"{ROOT / 'tests/endures.py'}:Endures", "--scheduler", "pbt", "--trials", "4")
    words += ("--concurrent", "1", "--batch", "off")
    sizes = ("train_batch_size=256", "minibatch_size=256", "num_envs_per_env_runner=8")
    more = ("min_sample_timesteps_per_iteration=256", "num_epochs=1", "fcnet_hiddens=[4]")
    settings = [word for setting in (*sizes, *more) for word in ("--set", setting)]
    budget = ("--steps", "20k", "--perturb-every", "1024", "--total-steps", "24900")
    scoring = ("--episodes", "2", "--selection-episodes", "2", "--name", "a", "--json")
    done = run_rltune(tmp_path, *words, *settings, *budget, *scoring, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    run = RunFolder.open(tmp_path / "runs/a")
    taken = [row.env_steps_this_iter for name in run.trials() for row in run.reports(name)]
    assert max(taken) > 4 * np.median(taken)
    assert abs(sum(taken) - 24_900) <= max(taken) / 2
    assert json.loads(done.stdout.splitlines()[-1])["stop_reason"] == "total_steps"


def test_a_sweep_that_was_cut_short_says_so_after_a_resume() -> None:
    """Also where a shorter report than that of the trial that was ended would have room."""

    def stopper() -> SweepStopper:
        budget = Budget(scheduler="pbt", trials=9, steps=60_000, total_steps=30_000)
        steps = StepBudget(30_000, 0, lambda: {"t00": True}, 2_000, range(6_000, 60_001, 6_000))
        return SweepStopper(budget, Metric(), rescues=True, step_budget=steps)

    first = stopper()
    rows = [(6_000, 16_000), (8_000, 2_000), (10_000, 2_000)]
    told = [
        first("t00", {TIME: age, "env_steps_this_iter": steps, "training_iteration": number})
        for number, (age, steps) in enumerate(rows)
    ]
    assert told == [False, False, False]
    assert first("t00", {TIME: 11_900, "env_steps_this_iter": 3_000, "training_iteration": 9})
    assert first.reason == "total_steps"
    resumed = stopper()
    assert resumed.reason == "steps"
    resumed.set_state(json.loads(json.dumps(first.get_state())))
    assert resumed.reason == "total_steps"


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["off", "4"])
def test_a_real_sweep_spends_it_and_can_be_extended(
    folder: Path, cluster_address: str, batch: str
) -> None:
    words = ("--scheduler", "asha", "--trials", "30", "--steps", "4k", "--perturb-every", "1k")
    more = ("--total-steps", "10k", "--batch", batch, "--quiet", "--json")
    name = f"spent-{batch}"
    done = short.run(folder, name, *words, *more, cluster=cluster_address)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["stop_reason"] == "total_steps"
    run = RunFolder.open(folder / "runs" / name)
    largest = max(row.env_steps_this_iter for t in run.trials() for row in run.reports(t))
    assert run.steps_spent == summary["env_steps"]
    # Reports of trials that are cut in the middle of an episode are of other lengths.
    assert abs(run.steps_spent - 10_000) <= 2 * largest
    assert extended(run, {"total_steps": 20_000}).budget.total_steps == 20_000


@pytest.mark.slow
def test_a_batch_larger_than_the_budget_starts(folder: Path, cluster_address: str) -> None:
    """The trials of a batch are handed out together, before any of them starts."""
    words = ("--scheduler", "fifo", "--trials", "4", "--steps", "4k", "--batch", "4")
    more = ("--total-steps", "2500", "--quiet", "--json")
    done = short.run(folder, "small", *words, *more, cluster=cluster_address)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["stop_reason"] == "total_steps"
    assert 2_000 <= summary["env_steps"] < 6_000, "three first reports of 1,000 and more"
