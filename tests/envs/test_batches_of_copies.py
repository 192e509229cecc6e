"""The environments of a batch: what a copy does depends on its own seed and actions alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from rltune import envs

STEPS = 120


def _played(env: VectorEnv, seeds: list[int], actions: np.ndarray) -> list[np.ndarray]:
    """Observations, rewards, ends and last observations of all steps, each (T, copies, ...)."""
    first, _ = env.reset(seed=seeds)
    return [np.stack(each) for each in zip(*_rows(env, actions, first), strict=True)]


def _rows(env: Any, actions: np.ndarray, obs: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for each in actions:
        before = obs
        obs, rewards, terminated, truncated, infos = env.step(each)
        done, last = terminated | truncated, obs.copy()
        for copy in np.flatnonzero(done) if "final_obs" in infos else ():
            last[copy] = infos["final_obs"][copy]
        yield before, rewards, done, last


@pytest.mark.parametrize(
    ("env", "copies"), [("cartpole", 5), ("cartpole", 1), ("acrobot", 5), ("pendulum", 1)]
)
def test_a_copy_does_the_same_among_others(env: str, copies: int) -> None:
    few, many = (
        envs.make_batch(env, 5 // copies, copies),
        envs.make_batch(env, 10 // copies, copies),
    )
    many.action_space.seed(1)
    actions = np.stack([many.action_space.sample() for _ in range(STEPS)])
    seeds = [17 * i + 3 for i in range(10)]
    chosen = [2, 5, 6, 8, 9]
    alone = _played(few, [seeds[i] for i in chosen], actions[:, chosen])
    among = _played(many, seeds, actions)
    for mine, theirs in zip(alone, among, strict=True):
        np.testing.assert_array_equal(mine, theirs[:, chosen])
    if env == "cartpole":
        assert alone[2].sum() > 5 * 2  # episodes ended, and began again


@pytest.mark.parametrize("copies", [1, 3, 4, 8])
@pytest.mark.parametrize(
    ("env", "frames"), [("cartpole", 1), ("cartpole", 2), ("CartPole-v1", 1), ("acrobot", 1)]
)
def test_episodes_restart_as_those_of_a_single_trial(env: str, frames: int, copies: int) -> None:
    single = envs.make_vec(env, copies, frame_stack=frames)
    batch = envs.make_batch(env, 2, copies, frame_stack=frames)
    modes = [each.metadata["autoreset_mode"] for each in (single, batch)]
    vectorised = "acrobot" not in env and frames == 1 and copies >= envs.VECTORISED_FROM
    wanted = AutoresetMode.NEXT_STEP if vectorised else AutoresetMode.SAME_STEP
    assert modes == [wanted, wanted]
    envs.close(single)
    envs.close(batch)


@pytest.mark.parametrize("copies", [1, 4])
def test_the_row_after_an_episode_is_its_reset_or_the_next_ones_first(copies: int) -> None:
    env = envs.make_batch("cartpole", 4 // copies, copies)
    obs, rewards, done, last = _played(env, [0, 1, 2, 3], np.ones((STEPS, 4), dtype=int))
    ended = np.argwhere(done[:-2])
    assert len(ended) > 8
    for t, copy in ended:
        assert abs(last[t, copy, 2]) > 0.2  # the pole has fallen
        if copies == 4:
            np.testing.assert_array_equal(obs[t + 1, copy], last[t, copy])
            assert rewards[t + 1, copy] == 0
            assert not done[t + 1, copy]
        assert np.abs(obs[t + (2 if copies == 4 else 1), copy]).max() <= 0.05
    if copies == 1:
        assert (rewards == 1).all()


def test_a_vectorised_copy_restarts_as_one_by_itself() -> None:
    """Within a step, by a restart, and while others rest: the same numbers are drawn."""
    apart, together = envs.make_batch("cartpole", 3, 1), envs.make_batch("cartpole", 4, 1)
    assert type(apart) is not type(together)
    seeds, rng = [5, 6, 7, 8], np.random.default_rng(0)
    seen = [apart.reset(seed=seeds[:3])[0], together.reset(seed=seeds)[0][:3]]
    for t in range(3 * STEPS):
        actions, chosen = rng.integers(0, 2, 4), rng.random(4) < 0.5
        if t % 50 == 10:
            own = [t] if t % 20 else None
            seen = [each.restart([1], own)[:3] for each in (apart, together)]
            np.testing.assert_array_equal(*seen)
        if t % 7 == 0:
            rows = [
                each.step_some(actions[:count], chosen[:count])
                for each, count in ((apart, 3), (together, 4))
            ]
            keep = np.flatnonzero(chosen[:3])
        else:
            rows = [apart.step(actions[:3]), together.step(actions)]
            keep = np.arange(3)
        for mine, theirs in zip(rows[0][:4], rows[1][:4], strict=True):
            np.testing.assert_array_equal(mine[keep], theirs[keep])
        for copy in keep[(rows[0][2] | rows[0][3])[keep]]:
            last = [infos["final_obs"][copy] for *_, infos in rows]
            np.testing.assert_array_equal(*last)
