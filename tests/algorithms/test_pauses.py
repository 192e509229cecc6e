"""Members that pause lose their running episodes, but not to the metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from endures import MEAN, Endures

from rltune import algorithms

pytestmark = pytest.mark.usefixtures("ray_session")

gym.register("Endures-v0", Endures)
COPIES = 4


def _member(**config: Any) -> tuple[Any, dict[str, Any]]:
    asked = {
        "env": "Endures-v0",
        "seed": 3,
        "fcnet_hiddens": [4],
        "train_batch_size": COPIES * MEAN // 2,
        "minibatch_size": COPIES * MEAN // 2,
        "num_epochs": 1,
        "num_envs_per_env_runner": COPIES,
        **config,
    }
    return algorithms.PPO(config=asked), asked


def _train(member: Any, until: int) -> list[dict[str, Any]]:
    reports = []
    while member.env_steps < until:
        reports.append(member.train())
    return reports


def _paused(folder: Path, every: int, intervals: int, **config: Any) -> tuple[Any, int]:
    """A member that pauses as a population's do, and the steps that were spent on it."""
    pauses = range(every, intervals * every + 1, every)
    member, asked = _member(pauses=pauses, **config)
    spent = 0
    for end in pauses:
        spent += sum(report["env_steps_this_iter"] for report in _train(member, end))
        member.save(str(folder))
        member.reset_config(dict(asked))
        member.restore(str(folder))
    assert member.env_steps == pauses[-1], "what nobody learns from is not on the clock"
    return member, spent


@pytest.mark.parametrize("fits", [1, 8])
def test_pauses_leave_the_training_return_as_it_is(fits: int, tmp_path: Path) -> None:
    """Episodes of 1 to 800 steps, 1 and 8 of the mean length to an interval."""
    member, spent = _paused(tmp_path, fits * COPIES * MEAN, 8 // fits)
    means, count = member.window.means(), len(member.window.returns)
    error = MEAN / 3**0.5 / count**0.5
    assert count >= 25
    assert means["episode_reward_mean"] == pytest.approx(MEAN, abs=3 * error)  # else 0.53 of it
    assert means["episode_info/length"] == means["episode_len_mean"] == means["episode_reward_mean"]
    assert spent > member.env_steps
    member.cleanup()


def test_episodes_of_one_length_are_not_finished_where_some_fit(tmp_path: Path) -> None:
    """No mean is wrong without them, and they would cost steps."""
    config = {"env_config": {"shortest": 150, "longest": 150}}
    member, spent = _paused(tmp_path, COPIES * MEAN, 2, **config)
    assert spent == member.env_steps
    assert set(member.window.returns) == {150.0}
    member.cleanup()


def test_episodes_longer_than_an_interval_have_a_return(tmp_path: Path) -> None:
    config = {"env_config": {"shortest": 1_000, "longest": 1_000}}
    member, spent = _paused(tmp_path, COPIES * MEAN, 2, **config)
    assert member.window.returns == [1_000.0] * COPIES * 2
    assert spent == 2 * COPIES * 1_000
    member.cleanup()


def test_a_member_that_need_not_pause_begins_new_episodes() -> None:
    """What other copies begin while the longest episode runs is discarded: long ones would stay."""
    every = COPIES * MEAN
    member, _ = _member(pauses=[every], env_config={"shortest": 3})
    _train(member, every)
    assert len(member.window.episodes) > COPIES
    assert all(episode.began < MEAN for episode in member.window.episodes)
    rollout = member.env_runner.sample(num_steps=2)
    assert not rollout.continues
    assert rollout.running == [2] * COPIES
    member.cleanup()


def test_an_environment_that_raises_meanwhile_is_rebuilt(tmp_path: Path) -> None:
    every = COPIES * MEAN
    config = {"env_config": {"shortest": 1_000, "longest": 1_000, "breaks_at": 900}}
    member, _ = _member(pauses=[every], **config)
    (*_, report) = _train(member, every)
    assert [event["kind"] for event in report["events"]] == ["env_restart"]
    assert "episode_reward_mean" not in report
    assert np.isfinite(_train(member, every + 1)[0]["learners"]["default_policy"]["total_loss"])
    member.cleanup()
