"""A trial in several environments: what it reports, saves, copies and restores."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from quick import same, weights
from ray.tune.result import TRIAL_INFO

from rltune.algorithms.several import SeveralTrial
from rltune.engine.metric_names import NORMALIZED, REWARD
from rltune.errors import BadCheckpoint
from rltune.processes.watchdog import Watchdog, watchdog
from rltune.request.resolve import make_spec
from rltune.runs.checkpoints import RECORD_FILE, REPLAY_FILE, verify
from rltune.runs.records import CheckpointRecord
from rltune.tasks import task_of

pytestmark = pytest.mark.usefixtures("ray_session")

QUICK: dict[str, Any] = {
    "dqn": {
        "num_steps_sampled_before_learning_starts": 100,
        "buffer_capacity": 2_000,
        "training_intensity": 16.0,
        "min_sample_timesteps_per_iteration": 300,
        "save_buffer": True,
    },
    "ppo": {"min_sample_timesteps_per_iteration": 500, "num_epochs": 1},
}


def config(algo: str, trial: str = "t01", pauses: tuple[int, ...] = (), **more: Any) -> Any:
    spec = make_spec(algo, "cartpole,acrobot", settings=QUICK[algo], simulator="gymnasium")
    shared = {**spec.settings, "seed": 5, TRIAL_INFO: SimpleNamespace(trial_id=trial)}
    return {**task_of(spec).config(pauses, 1.0), **shared, **more}


def test_a_clone_has_the_donors_policies_and_its_own_buffers(tmp_path: Path) -> None:
    donor, member = SeveralTrial(config("dqn", "t02")), SeveralTrial(config("dqn", seed=9))
    for _ in range(2):
        donor.train()
    own = member.train()
    donor.save(str(tmp_path / "donor"))
    member.save(str(tmp_path / "own"))
    verify(tmp_path / "donor", "dqn")
    held = {name: len(part.replay) for name, part in member._parts.items()}
    told = {
        "donor": "t02",
        "env_steps": own["env_steps"],
        "own_checkpoint": str(tmp_path / "own"),
    }
    member.reset(config("dqn", seed=9, exploit=told, lr=1e-5, exploit_buffer="own"))
    member.restore(str(tmp_path / "donor"))
    assert list(member._parts) == ["cartpole", "acrobot"]
    for name, part in member._parts.items():
        assert same(weights(part), weights(donor._parts[name]))
        assert (tmp_path / "own" / name / REPLAY_FILE).is_file()
        assert len(part.replay) == held[name] < len(donor._parts[name].replay)
    row = member.train()
    assert row["env_steps"] == own["env_steps"] + row["env_steps_this_iter"]
    assert row["settings"]["lr"] == pytest.approx(1e-5)
    assert row["restored"]["donor"] == "t02"
    assert {name: one["replay"] for name, one in row["restored"]["memory"].items()} == {
        "cartpole": "own",
        "acrobot": "own",
    }
    for trial in (donor, member):
        trial.cleanup()


def test_reports_have_no_score_before_every_environment_has_an_episode(tmp_path: Path) -> None:
    # A random policy ends 40 episodes of CartPole before the first one of Acrobot.
    trial = SeveralTrial(config("ppo", num_envs_per_env_runner=8))
    rows = [trial.train() for _ in range(9)]
    without = [row for row in rows if NORMALIZED not in row]
    assert without == rows[: len(without)]
    assert 0 < len(without) < len(rows)
    assert all(f"cartpole/{REWARD}" in row for row in without)
    assert all(math.isfinite(value) for row in rows for value in row["metrics"].values())
    last = rows[-1]["metrics"]
    environments = trial._environments
    scores = [one.normalized(last[f"{name}/{REWARD}"]) for name, one in environments.items()]
    assert last[NORMALIZED] == pytest.approx(sum(scores) / 2)
    assert last["acrobot/normalized_score"] == pytest.approx(scores[1])
    assert rows[-1]["env_steps"] == sum(row["env_steps_this_iter"] for row in rows)
    trial.save(str(tmp_path))
    record = CheckpointRecord.read(tmp_path)
    assert record.means == last
    trial.cleanup()


def test_a_pause_ends_the_running_episodes_of_every_environment() -> None:
    paused = SeveralTrial(config("ppo", pauses=(1_000,), num_envs_per_env_runner=8))
    row = paused.train()
    other = SeveralTrial(config("ppo", num_envs_per_env_runner=8))
    plain = other.train()
    assert row["env_steps"] == plain["env_steps"], "on the trial's clock they do not count"
    assert row["env_steps_this_iter"] > plain["env_steps_this_iter"]
    assert NORMALIZED in row
    assert NORMALIZED not in plain
    for trial in (paused, other):
        trial.cleanup()


def test_what_diverges_in_one_environment_ends_the_trial(tmp_path: Path) -> None:
    trial = SeveralTrial(config("ppo"))
    trial.train()
    trial._parts["acrobot"].diverged = {"env_steps": 1, "what": "loss", "value": "nan"}
    row = trial.train()
    assert row["env_steps_this_iter"] == 0
    assert (row["diverged"]["what"], row["diverged"]["env_steps"]) == (
        "acrobot/loss",
        row["env_steps"],
    )
    trial.save(str(tmp_path))
    assert CheckpointRecord.read(tmp_path).diverged is not None
    trial.cleanup()


def test_a_checkpoint_without_one_of_its_environments_is_refused(tmp_path: Path) -> None:
    trial = SeveralTrial(config("ppo"))
    trial.train()
    trial.save(str(tmp_path))
    (tmp_path / "acrobot" / RECORD_FILE).unlink()
    with pytest.raises(BadCheckpoint, match=r"acrobot/record.json is missing"):
        verify(tmp_path, "ppo")
    with pytest.raises(BadCheckpoint, match=r"acrobot"):
        trial.load_checkpoint(str(tmp_path))
    trial.cleanup()


def test_algorithms_of_one_process_share_its_timer(tmp_path: Path) -> None:
    """Else the thread of one would postpone it while the environment of the other hangs."""
    first, second = watchdog(60.0, tmp_path), watchdog(60.0, tmp_path)
    assert isinstance(first, Watchdog)
    assert second is first
    first.close()
    assert first.is_open
    first.close()
    assert not first.is_open
    third = watchdog(60.0, tmp_path)
    assert isinstance(third, Watchdog)
    assert third is not first
    third.close()
    assert list(tmp_path.iterdir()) == []
