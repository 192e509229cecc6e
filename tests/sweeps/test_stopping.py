"""How sweeps on a cluster end: targets, budgets; and a sweep from Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from short import run as run_short

import rltune
from rltune.cli.parse import value
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import loads

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_ray_session")]


def test_a_target_ends_the_sweep_and_keeps_the_policy_that_reached_it(
    folder: Path, cluster_address: str
) -> None:
    words = ("--scheduler", "fifo", "--target", "40", "--concurrent", "1", "--json")
    done = run_short(folder, "target", *words, cluster=cluster_address)
    summary = loads(done.stdout)
    assert summary["stop_reason"] == "target"
    assert summary["env_steps"] < 3 * 6_000
    # The policy that got there was kept, so it was among those that played for being the best.
    run = RunFolder.open(folder / "runs" / "target")
    records = [run.record(checkpoint).episode_returns for checkpoint in run.checkpoints()]
    assert max(sum(returns) / len(returns) for returns in records if returns) >= 40
    assert summary["best"]["selection_score"] is not None


def test_a_time_budget_ends_the_sweep(folder: Path, cluster_address: str) -> None:
    words = "--scheduler fifo --steps 10000000 --time-budget 6 --concurrent 1 --json".split()
    summary = loads(run_short(folder, "timed", *words, cluster=cluster_address).stdout)
    assert summary["stop_reason"] == "time_budget"
    assert summary["evaluation"]["episodes"] == 25


def test_python_and_the_command_line_agree(folder: Path) -> None:
    run = rltune.sweep(
        "ppo",
        "cartpole",
        preset=folder / "short.toml",
        trials=1,
        scheduler="fifo",
        settings={"lr": value("5e-4")},
        seed=1 << 40,  # more than numpy's global generator takes
        storage=folder / "runs",
        name="python",
    )
    assert run.best["config"]["lr"] == 5e-4
    assert repr(run) == f"Run({str(folder / 'runs' / 'python')!r})"
    assert run.evaluate(episodes=5).episodes == 5
