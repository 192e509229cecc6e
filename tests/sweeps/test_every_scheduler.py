"""Every scheduler of the table over real Ray, which all of these sweeps share."""

from __future__ import annotations

import io
import json
from pathlib import Path

import driving
import functions
import pytest
import tune_domains
from ray import tune
from rich.console import Console
from sweeps.killed import cut_of, start, told
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rltune.cli.outcome import outcome
from rltune.reports.numbers import number
from rltune.request.functions import function_spec
from rltune.request.resolve import make_spec
from rltune.runs import checkpoints
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision
from rltune.runs.summary_record import Summary
from rltune.schedulers import SCHEDULERS, row

pytestmark = pytest.mark.slow

#: Settings of all kinds, and one that a function draws from the trial's seed and another.
SPACE = {**driving.SPACE, "noise": tune.sample_from(tune_domains.drawn)}
STEPS, INTERVAL, TRIALS = 9, 3, 6


#: The others end trials as ASHA does, or exploit as PBT: the simulator's tests have each of them.
IN_CI = {"asha", "pb2", "pbt"}


@pytest.mark.parametrize(
    "scheduler",
    [
        pytest.param(name, marks=[] if name in IN_CI else [pytest.mark.by_hand])
        for name in SCHEDULERS
    ],
)
def test_a_sweep_of_a_function_leaves_a_whole_run_folder_and_a_killed_one_the_same(
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
        storage=tmp_path,
        name="a",
        seed=3,
    )
    folder = start(spec, cut=9)
    summary = folder.summary
    assert summary is not None
    assert [trial.status for trial in summary.trials] == ["TERMINATED"] * TRIALS
    kinds = {decision.kind for decision in folder.decisions()}
    population = row(scheduler).population
    assert kinds == (set() if scheduler == "fifo" else {"exploit" if population else "stop"})
    stopped = {decision.trial: decision.env_steps for decision in folder.decisions()}
    for trial in folder.trials():
        reports = folder.reports(trial)
        assert [report.env_steps for report in reports] == list(range(1, len(reports) + 1))
        assert len(reports) == (STEPS if population else stopped.get(trial, STEPS))
        assert all(type(report.settings["model/layers"]) is int for report in reports)
    starts = [dict(folder.reports(trial)[0].settings) for trial in folder.trials()]
    assert starts[0].items() >= {"lr": 1e-3, "model/layers": 2, "model/activation": "tanh"}.items()
    assert starts[1]["lr"] == 1e-4
    _check_best(folder, summary)
    _check_curves(folder)
    for exploit in folder.decisions() if population else ():
        _check_exploit(folder, exploit)
    assert told(cut_of(folder)) == told(folder)


def _check_best(folder: RunFolder, summary: Summary) -> None:
    """The best checkpoint is that of the best report, in the folder and on the screen."""
    assert json.loads((folder.path / "run.json").read_text())["env_id"] == "functions:shaped"
    assert summary.best is not None
    assert folder.best_record is not None
    heights = [row.metrics["height"] for t in folder.trials() for row in folder.reports(t)]
    assert summary.best.score == max(heights)
    assert summary.best.config == folder.best_record.settings
    assert 0 < summary.best.config["noise"] < 1 + summary.best.config["lr"]
    assert summary.evaluation is None
    assert checkpoints.is_data(folder.path / summary.best.checkpoint)
    screen = io.StringIO()
    Console(file=screen, width=200).print(outcome(folder.spec, folder.job, summary))
    assert f"{number(summary.best.score)} height (max)" in screen.getvalue()
    assert "evaluate" not in screen.getvalue(), "there is no policy"


def _check_curves(folder: RunFolder) -> None:
    """TensorBoard draws what was reported, and the settings."""
    for trial in folder.trials():
        curves = EventAccumulator(str(folder.path / "trials" / trial)).Reload()
        points = {point.step: point.value for point in curves.Scalars("height")}
        rows = {row.env_steps: row.metrics["height"] for row in folder.reports(trial)}
        assert points == pytest.approx(rows)
        assert curves.Scalars("hyperparameters/lr")


def _check_board(folder: RunFolder, summary: Summary) -> None:
    """TensorBoard shows the learner, the speed, with ``log_all`` RLlib's own, and the champion."""
    assert summary.best is not None
    assert summary.evaluation is not None
    reports = folder.reports(summary.best.trial)
    curves = EventAccumulator(str(folder.path / "trials" / summary.best.trial)).Reload()
    for tag in ("learner/entropy", "throughput/env_steps_per_second", "timers/training_iteration"):
        assert [point.step for point in curves.Scalars(tag)] == [row.env_steps for row in reports]
    assert not any(name.startswith("timers") for row in reports for name in row.metrics)
    champion = EventAccumulator(str(folder.path / "trials/champion")).Reload()
    (score,) = champion.Scalars("evaluation/mean")
    assert score.value == pytest.approx(summary.evaluation.mean)
    assert score.step == summary.best.env_steps, "nobody was copied"
    assert champion.Scalars("learner/gradient_norm")[-1].step == summary.best.env_steps


def _check_exploit(folder: RunFolder, exploit: Decision) -> None:
    """A clone continues from its donor's state, at the settings that were decided."""
    rows = {row.env_steps: row.metrics for row in folder.reports(exploit.donor or "")}
    given = rows[exploit.donor_env_steps or 0]
    later = (row for row in folder.reports(exploit.trial) if row.env_steps > exploit.env_steps)
    first = next(later)
    assert first.env_steps == exploit.env_steps + 1, "the clone's clock continues"
    assert first.metrics["step"] == given["step"] + 1
    assert 0 < first.metrics["height"] - given["height"] <= 1.8, "the most that a report gains"
    assert exploit.effective == exploit.requested


@pytest.mark.parametrize(
    "scheduler", ["hyperband", pytest.param("median", marks=pytest.mark.by_hand)]
)
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
        storage=tmp_path,
        name="a",
        log_all=True,
        **{**budget, "concurrent": 1},
    )
    folder = start(spec, cut=9 if scheduler == "hyperband" else 0)
    summary = folder.summary
    assert summary is not None
    assert summary.evaluation is not None
    assert [trial.status for trial in summary.trials] == ["TERMINATED"] * spec.budget.trials
    stopped = {decision.trial: decision.env_steps for decision in folder.decisions()}
    assert stopped
    assert {decision.kind for decision in folder.decisions()} <= {"stop", "restore"}
    for trial in summary.trials:
        assert trial.env_steps >= 3_000 or trial.env_steps == stopped[trial.id] >= 1_000
    _check_board(folder, summary)
    if scheduler == "hyperband":
        assert len([t for t in summary.trials if t.env_steps >= 3_000]) == 1
        again = cut_of(folder)
        assert told(again) == told(folder)
        assert again.summary is not None
        assert again.summary.evaluation == summary.evaluation
