"""``rltune plan`` trains for a moment, says what the rest would take, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Said
from warm import run_rltune

from rltune.request import capacity

pytestmark = pytest.mark.slow


def test_a_sweep_is_measured_on_a_running_ray(tmp_path: Path, cluster_address: str) -> None:
    words = "plan ppo cartpole --steps 40k --seconds 0.1 --price 3 --json"  # reports are waited for
    done = run_rltune(tmp_path, *words.split(), cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["ways"]["as asked"]
    assert found["env_steps"] == 160_000
    assert found["seconds"] < found["at_most"]
    assert found["cost"] == pytest.approx(3 * found["seconds"] / 3600)
    assert 160_000 / found["speed"] < found["seconds"]
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.by_hand  # starts a Ray of its own twice
def test_other_ways_are_measured_and_the_best_is_proposed(tmp_path: Path) -> None:
    done = run_rltune(tmp_path, *"plan ppo acrobot --steps 40k --seconds 1".split())
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert "as asked" in shown
    assert "--batch 2" in shown
    assert "rltune ppo acrobot --steps 40k" in shown.splitlines()[-1]
    assert "--seconds" not in shown.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_fit_is_refused_by_the_name_of_the_resource(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "ray_runs", lambda: False)  # that of tests before this one
    for words, resource in (
        ("--trials 300000", "disk: replay buffers in checkpoints alone would take 768.0 GB"),
        ("--cpus-per-trial 900", "a trial asks for 900 CPUs"),
        ("--memory-per-trial 90TiB", "GiB of memory"),
        ("--set buffer_capacity=90000000000", "lower buffer_capacity"),
    ):
        code, shown, err = said(f"plan dqn cartpole {words} --storage {tmp_path}/runs")
        assert (code, shown) == (2, "")
        assert resource in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--seconds", "--price"])
@pytest.mark.parametrize("word", ["0", "-1", "nan", "inf", "much"])
def test_amounts_are_checked(said: Said, option: str, word: str) -> None:
    code, _, err = said(f"plan dqn cartpole {option} {word}")
    assert code == 2
    assert f"{option} must be a number" in err
