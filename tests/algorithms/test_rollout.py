"""Rollouts, advantages and the replay buffer: arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from rltune.algorithms.replay import ReplayBuffer
from rltune.algorithms.rollout import Rollout, gae


def _rollout(steps: int, envs: int, start: int = 0) -> Rollout:
    """Numbered transitions: every observation is its own number."""
    numbers = start + np.arange(steps * envs, dtype=np.float32).reshape(steps, envs)
    no = np.zeros((steps, envs), dtype=bool)
    return Rollout(
        obs=numbers[..., None],
        next_obs=numbers[..., None] + 1,
        actions=numbers.astype(np.int64) % 2,
        rewards=numbers,
        terminated=no,
        truncated=no,
        valid=~no,
    )


def test_gae_is_the_definition_written_out() -> None:
    rng = np.random.default_rng(0)
    shape, gamma, lambda_ = (7, 3), 0.9, 0.8
    rewards, values, next_values = (rng.normal(size=shape) for _ in range(3))
    terminated = rng.random(shape) < 0.2
    done = terminated | (rng.random(shape) < 0.2)
    got = gae(rewards, values, next_values, terminated, done, gamma, lambda_)
    for env in range(3):
        for t in range(7):
            expected, weight = 0.0, 1.0
            for k in range(t, 7):
                bootstrap = 0.0 if terminated[k, env] else gamma * next_values[k, env]
                expected += weight * (rewards[k, env] + bootstrap - values[k, env])
                if done[k, env]:
                    break
                weight *= gamma * lambda_
            assert got[t, env] == pytest.approx(expected, rel=1e-5)


def test_gae_agrees_with_rllib_on_one_long_episode() -> None:
    rng = np.random.default_rng(1)
    rewards, values = rng.normal(size=20), rng.normal(size=21)
    no = np.zeros((20, 1), dtype=bool)
    advantages = gae(rewards[:, None], values[:-1, None], values[1:, None], no, no, 0.97, 0.9)[:, 0]
    # RLlib keeps one step behind each episode, for the value to bootstrap from.
    targets = compute_value_targets(
        values=values,
        rewards=np.append(rewards, 0.0),
        terminateds=np.zeros(21),
        truncateds=np.append(np.zeros(19), [1.0, 1.0]),
        gamma=0.97,
        lambda_=0.9,
    )
    np.testing.assert_allclose(advantages + values[:-1], targets[:-1], rtol=1e-4, atol=1e-5)


def test_the_buffer_keeps_the_newest_and_whole_transitions() -> None:
    buffer = ReplayBuffer(capacity=10, seed=0)
    buffer.add(_rollout(3, 2))
    buffer.add(_rollout(4, 2, start=6))
    assert len(buffer) == 10
    batch = buffer.sample(500)
    assert set(batch["rewards"].tolist()) == set(range(4, 14))
    assert torch.equal(batch["next_obs"], batch["obs"] + 1)
    assert torch.equal(batch["obs"][:, 0], batch["rewards"])
    assert torch.equal(batch["actions"], batch["rewards"].long() % 2)


def test_steps_spent_on_a_reset_are_no_experience() -> None:
    rollout = _rollout(3, 2)
    rollout.valid[1, 0] = False
    buffer = ReplayBuffer(capacity=10, seed=0)
    buffer.add(rollout)
    assert len(buffer) == rollout.env_steps == 5
    assert 2.0 not in buffer.sample(200)["rewards"]


def test_one_rollout_larger_than_the_buffer() -> None:
    buffer = ReplayBuffer(capacity=4, seed=0)
    buffer.add(_rollout(10, 1))
    assert set(buffer.sample(100)["rewards"].tolist()) == {6, 7, 8, 9}


def test_the_buffer_comes_back_from_disk(tmp_path: Path) -> None:
    buffer = ReplayBuffer(capacity=10, seed=0)
    buffer.add(_rollout(7, 2))
    buffer.save(tmp_path / "replay.npz")
    other = ReplayBuffer(capacity=10, seed=0)
    other.add(_rollout(1, 1, start=99))
    other.load(tmp_path / "replay.npz")
    assert set(other.sample(500)["rewards"].tolist()) == set(range(4, 14))
    other.add(_rollout(1, 1, start=50))
    assert 4.0 not in other.sample(500)["rewards"], "the oldest gives way first"


def test_an_empty_buffer_comes_back_empty(tmp_path: Path) -> None:
    ReplayBuffer(capacity=10).save(tmp_path / "replay.npz")
    buffer = ReplayBuffer(capacity=10)
    buffer.load(tmp_path / "replay.npz")
    assert len(buffer) == 0
