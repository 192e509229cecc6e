"""Sweeps that tune a number of ``info``, of an environment with episodes as long as an interval."""

from __future__ import annotations

import shutil
from pathlib import Path

import endures
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from warm import run_rltune

from rltune.runs.folder import RunFolder
from rltune.runs.json_text import loads

pytestmark = pytest.mark.slow

COPIES = 4
EVERY = COPIES * endures.MEAN
QUICK = (
    f"ppo mine:Endures --trials 2 --concurrent 1 --set num_envs_per_env_runner={COPIES} "
    f"--set train_batch_size={EVERY // 2} --set minibatch_size={EVERY // 2} --set num_epochs=1 "
    f"--set min_sample_timesteps_per_iteration={EVERY // 2}"
).split()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the module of the environment in it."""
    path = tmp_path_factory.mktemp("metric")
    shutil.copy(endures.__file__, path / "mine.py")
    return path


@pytest.fixture(scope="module")
def run(here: Path, cluster_address: str) -> RunFolder:
    """Two members that take turns on one slot: every interval ends with a pause."""
    more = f"--scheduler pb2 --steps {8 * EVERY} --perturb-every {EVERY} --name a --json".split()
    more += ["--metric", "episode_info/length", "--mode", "min"]
    done = run_rltune(here, *QUICK, *more, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    folder = RunFolder.open(here / "runs/a")
    assert loads(done.stdout.splitlines()[-1]) == folder.summary_contents
    assert "mean length, 95 % interval" in done.stderr
    return folder


def test_pauses_leave_the_training_return_of_long_episodes_as_it_is(run: RunFolder) -> None:
    """Only short episodes end within an interval: 0.53 of the mean was reported."""
    for trial in run.trials():
        last = run.reports(trial)[-1]
        record = run.record(run.checkpoints_of(trial)[-1])
        error = endures.MEAN / 3**0.5 / len(record.episode_returns) ** 0.5
        assert last.episode_reward_mean == pytest.approx(endures.MEAN, abs=4 * error)
        assert last.env_steps == 8 * EVERY
    spent = sum(row.env_steps_this_iter for name in run.trials() for row in run.reports(name))
    assert run.summary_contents["env_steps"] == spent > 16 * EVERY


def test_the_metric_is_reported_drawn_and_scored(run: RunFolder, here: Path) -> None:
    summary = run.summary_contents
    assert (summary["metric"], summary["mode"]) == ("episode_info/length", "min")
    best, score = summary["best"], summary["evaluation"]
    assert score["metric"] == "episode_info/length"
    assert score["mean"] == pytest.approx(np.mean(score["returns"]))
    assert summary["optimism_gap"] == pytest.approx(score["mean"] - best["selection_score"])
    for trial in run.trials():
        rows = [row for row in run.reports(trial) if row.episode_reward_mean is not None]
        lengths = [row.metrics["episode_info/length"] for row in rows]
        assert lengths == [row.episode_reward_mean for row in rows]
        events = EventAccumulator(str(run.path / "trials" / trial))
        events.Reload()
        points = events.Scalars("episode_info/length")
        assert [point.step for point in points] == [row.env_steps for row in rows]
        assert [point.value for point in points] == pytest.approx(lengths)
    done = run_rltune(here, "evaluate", "runs/a", "--episodes", "10", "--json")
    assert loads(done.stdout)["metric"] == "episode_info/length"


@pytest.mark.fault(43)
def test_a_metric_that_no_episode_reports_ends_the_sweep(here: Path, cluster_address: str) -> None:
    """It is asked for without its prefix."""
    words = (*QUICK, "--scheduler", "asha", "--name", "b", "--metric", "length")
    done = run_rltune(here, *words, cluster=cluster_address)
    assert done.returncode == 2
    told = " ".join(done.stderr.split())
    assert "the trials report no 'length'" in told
    assert "Did you mean 'episode_info/length'? They report: " in told
    assert "episode_info/length, episode_len_mean, episode_reward_mean" in told
    folder = RunFolder.open(here / "runs/b")
    assert sum(len(folder.reports(name)) for name in folder.trials()) <= 4, (
        "it ends after the first"
    )
