"""Vectorised rollouts: autoreset, truncation, episode statistics."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rltune import algorithms
from rltune.algorithms.rollout import Rollout

pytestmark = pytest.mark.usefixtures("ray_session")


class Counter(gym.Env[np.ndarray, int]):
    """Observes its own step; terminates at 3 where asked to, else is truncated at 5."""

    observation_space = gym.spaces.Box(0, 100, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, ends: bool = False) -> None:
        self.ends = ends
        self.count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.count += 1
        return np.full(1, self.count, np.float32), 1.0, self.ends and self.count == 3, False, {}


gym.register("Counter-v0", Counter, max_episode_steps=5)


def _sample(env: str, steps: int, **config: Any) -> Rollout:
    member = algorithms.DQN(
        config={
            "env": env,
            "seed": 0,
            "fcnet_hiddens": [8],
            "num_envs_per_env_runner": 2,
            **config,
        }
    )
    rollout = member.env_runner.sample(num_steps=steps)
    member.cleanup()
    assert isinstance(rollout, Rollout)
    return rollout


def test_same_step_autoreset_keeps_the_last_observation() -> None:
    rollout = _sample("Counter-v0", 7)
    assert rollout.obs[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert rollout.next_obs[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 1, 2]
    assert rollout.truncated[:, 0].tolist() == [False] * 4 + [True, False, False]
    assert not rollout.terminated.any()
    assert rollout.valid.all()
    assert rollout.episode_returns == [5.0, 5.0]
    assert rollout.episode_lengths == [5, 5]


def test_termination_is_told_from_truncation() -> None:
    rollout = _sample("Counter-v0", 4, env_config={"ends": True})
    assert rollout.terminated[:, 0].tolist() == [False, False, True, False]
    assert not rollout.truncated.any()
    assert rollout.next_obs[2, 0, 0] == 3.0


def test_next_step_autoreset_spends_a_step_that_is_no_experience() -> None:
    rollout = _sample("CartPole-v1", 400, num_envs_per_env_runner=4)
    done = rollout.terminated | rollout.truncated
    assert done.any()
    # The step after each end is the reset: invalid, and nothing else is.
    np.testing.assert_array_equal(rollout.valid[1:], ~done[:-1])
    inside = rollout.valid[1:] & rollout.valid[:-1]
    np.testing.assert_array_equal(rollout.obs[1:][inside], rollout.next_obs[:-1][inside])
    assert sum(rollout.episode_returns) == sum(rollout.episode_lengths)
    finished = rollout.env_steps - sum(rollout.episode_lengths)
    assert 0 <= finished < 4 * 500
