"""Rollouts and advantages: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
import pytest
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from rltune.engine.rollout import clip_rewards, gae


def test_gae_agrees_with_its_definition() -> None:
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


def test_clipped_rewards_are_their_signs() -> None:
    rewards = np.array([-3.5, 0.0, 0.25, 40.0], np.float32)
    np.testing.assert_array_equal(clip_rewards(rewards, True), [-1, 0, 1, 1])
    np.testing.assert_array_equal(clip_rewards(rewards, 2.0), [-2, 0, 0.25, 2])
    for off in (None, False):
        np.testing.assert_array_equal(clip_rewards(rewards, off), rewards)
