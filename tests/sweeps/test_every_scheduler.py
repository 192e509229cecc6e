"""Every scheduler of the table over real Ray, which all of these sweeps share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import driving
import functions
import pytest
import tune_domains
from ray import tune
from sweeps.killed import start, told

from rltune.request.functions import function_spec
from rltune.request.resolve import make_spec
from rltune.schedulers import SCHEDULERS, row

pytestmark = pytest.mark.slow

#: Settings of all kinds, and one that a function draws from the trial's seed and another.
SPACE = {**driving.SPACE, "noise": tune.sample_from(tune_domains.drawn)}
STEPS, INTERVAL, TRIALS = 9, 3, 6


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_killed_sweep_of_a_function_ends_as_a_whole_one(
    scheduler: str, tmp_path: Path, cluster_address: str
) -> None:
    spec = function_spec(
        functions.shaped,
        SPACE,
        metric="height",
        scheduler=scheduler,
        trials=TRIALS,
        steps=STEPS,
        perturb_every=INTERVAL,
        points=driving.POINTS,
        concurrent=1,
        address=cluster_address,
        storage=tmp_path / "whole",
        name="a",
        seed=3,
    )
    whole = start(spec)
    summary = whole.summary
    assert summary is not None
    assert [trial.status for trial in summary.trials] == ["TERMINATED"] * TRIALS
    kinds = {decision.kind for decision in whole.decisions()}
    population = row(scheduler).population
    assert kinds == (set() if scheduler == "fifo" else {"exploit" if population else "stop"})
    stopped = {decision.trial: decision.env_steps for decision in whole.decisions()}
    for trial in whole.trials():
        reports = whole.reports(trial)
        assert [report.env_steps for report in reports] == list(range(1, len(reports) + 1))
        assert len(reports) == (STEPS if population else stopped.get(trial, STEPS))
        assert all(type(report.settings["model/layers"]) is int for report in reports)
    starts = [dict(whole.reports(trial)[0].settings) for trial in whole.trials()]
    assert starts[0].items() >= {"lr": 1e-3, "model/layers": 2, "model/activation": "tanh"}.items()
    assert starts[1]["lr"] == 1e-4
    assert summary.best is not None
    assert 0 < summary.best.config["noise"] < 1 + summary.best.config["lr"]
    killed = replace(spec, storage=str(tmp_path / "killed"))
    assert start(killed, die=9).summary is None
    assert told(start(killed)) == told(whole)


@pytest.mark.parametrize("scheduler", ["hyperband", "median"])
def test_policies_are_trained_under_it(
    scheduler: str, tmp_path: Path, cluster_address: str
) -> None:
    budget = {"hyperband": {"trials": 3}, "median": {"trials": 4, "min_samples": 1}}[scheduler]
    spec = make_spec(
        "ppo",
        "cartpole",
        scheduler=scheduler,
        steps=3_000,
        target=float("inf"),
        episodes=2,
        selection_episodes=1,
        settings={"min_sample_timesteps_per_iteration": 500},
        perturb_every=1_000,
        address=cluster_address,
        storage=tmp_path / "whole",
        name="a",
        **{**budget, "concurrent": 1},
    )
    folder = start(spec)
    summary = folder.summary
    assert summary is not None
    assert summary.evaluation is not None
    assert [trial.status for trial in summary.trials] == ["TERMINATED"] * spec.budget.trials
    stopped = {decision.trial: decision.env_steps for decision in folder.decisions()}
    assert stopped
    assert {decision.kind for decision in folder.decisions()} <= {"stop", "restore"}
    for trial in summary.trials:
        assert trial.env_steps >= 3_000 or trial.env_steps == stopped[trial.id] >= 1_000
    if scheduler == "hyperband":
        assert len([t for t in summary.trials if t.env_steps >= 3_000]) == 1
        killed = replace(spec, storage=str(tmp_path / "killed"))
        assert start(killed, die=9).summary is None
        again = start(killed)
        assert told(again) == told(folder)
        assert again.summary is not None
        assert again.summary.evaluation == summary.evaluation
