"""The environments of a batch: what a copy does depends on its own seed and actions alone."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from rltune import envs

STEPS = 120


def _played(env: VectorEnv, seeds: list[int], actions: np.ndarray) -> list[np.ndarray]:
    """Observations, rewards and ends of every step, each of shape (T, copies, ...)."""
    first, _ = env.reset(seed=seeds)
    rows = [env.step(each)[:4] for each in actions]
    env.close()
    obs, rewards, terminated, truncated = (np.stack(each) for each in zip(*rows, strict=True))
    return [np.concatenate([first[None], obs]), rewards, terminated | truncated]


@pytest.mark.parametrize("env", ["cartpole", "acrobot", "pendulum"])
def test_a_copy_does_the_same_among_others(env: str) -> None:
    few, many = envs.make_batch(env, 4), envs.make_batch(env, 9)
    many.action_space.seed(1)
    actions = np.stack([many.action_space.sample() for _ in range(STEPS)])
    seeds = [17 * i + 3 for i in range(9)]
    chosen = [2, 5, 6, 8]
    alone = _played(few, [seeds[i] for i in chosen], actions[:, chosen])
    among = _played(many, seeds, actions)
    for mine, theirs in zip(alone, among, strict=True):
        np.testing.assert_array_equal(mine, theirs[:, chosen])
    if env == "cartpole":
        assert alone[2].sum() > 4 * 2  # episodes ended, and began again


def test_the_row_after_an_episode_is_its_reset() -> None:
    env = envs.make_batch("cartpole", 2)  # too few for the vectorised version
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    obs, rewards, done = _played(env, [0, 1], np.ones((STEPS, 2), dtype=int))
    ended = np.argwhere(done[:-1])
    assert len(ended) > 4
    for t, copy in ended:
        assert abs(obs[t + 1, copy, 2]) > 0.2  # the last observation: the pole has fallen
        assert np.abs(obs[t + 2, copy]).max() <= 0.05  # the first one
        assert rewards[t + 1, copy] == 0
        assert not done[t + 1, copy]
