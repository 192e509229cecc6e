"""The replay buffer: what goes in comes out, once, whole, and from the right episode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltune.engine.replay_buffer import Layout, Priorities, ReplayBuffer
from rltune.engine.rollout import Rollout
from rltune.engine.sum_tree import SumTree

DISCRETE = gym.spaces.Discrete(2)
NUMBERS = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)


def _buffer(
    capacity: int = 10, num_envs: int = 1, priorities: Priorities | None = None, **layout: Any
) -> ReplayBuffer:
    space = layout.pop("space", NUMBERS)
    return ReplayBuffer(Layout(space, DISCRETE, capacity, num_envs, **layout), priorities, seed=0)


class Walk:
    """Environments that count: every observation is a number of its own, and the next one's less.

    An episode of environment ``e`` that starts at number n observes n, n + 1, n + 2 ...; the reward
    of a step is the number it started from. ``lengths`` are the episodes' lengths, in turn.
    """

    def __init__(self, num_envs: int, lengths: tuple[int, ...], truncated: bool = False) -> None:
        self.lengths, self.truncated = lengths, truncated
        self.number = np.arange(num_envs) * 100_000.0
        self.left = np.full(num_envs, lengths[0])
        self.episode = np.zeros(num_envs, dtype=int)
        self.started = False

    def rollout(self, steps: int) -> Rollout:
        rows: dict[str, list[np.ndarray]] = {}
        for _ in range(steps):
            self.left -= 1
            done = self.left == 0
            row = {
                "obs": self.number[:, None],
                "next_obs": self.number[:, None] + 1,
                "actions": self.number.astype(np.int64) % 2,
                "rewards": self.number,
                "terminated": done & (not self.truncated),
                "truncated": done & self.truncated,
                "valid": np.ones_like(done),
            }
            for name, values in row.items():
                rows.setdefault(name, []).append(values.copy())
            # A new episode starts at a number that nothing else leads to.
            self.number = np.where(done, self.number + 10, self.number + 1)
            self.episode += done
            following = np.array([self.lengths[e % len(self.lengths)] for e in self.episode])
            self.left = np.where(done, following, self.left)
        arrays: dict[str, Any] = {
            name: np.stack(values).astype(np.float32 if name == "rewards" else values[0].dtype)
            for name, values in rows.items()
        }
        continues, self.started = self.started, True
        return Rollout(**arrays, continues=continues)


def test_it_keeps_the_newest_transitions_whole() -> None:
    buffer, walk = _buffer(10, 2), Walk(2, (1_000,))
    for _ in range(3):
        buffer.add([walk.rollout(4)])
    assert len(buffer) == 10
    batch = buffer.sample(500)
    newest = {*range(7, 12), *range(100_007, 100_012)}
    assert set(batch["rewards"].tolist()) == newest
    np.testing.assert_array_equal(batch["next_obs"], batch["obs"] + 1)
    np.testing.assert_array_equal(batch["obs"][:, 0], batch["rewards"])
    np.testing.assert_array_equal(batch["actions"], batch["rewards"].astype(int) % 2)
    assert not batch["terminated"].any()


@pytest.mark.parametrize("truncated", [False, True])
def test_the_last_step_of_an_episode_leads_to_its_last_observation(truncated: bool) -> None:
    buffer, walk = _buffer(100), Walk(1, (3,), truncated)
    buffer.add([walk.rollout(9)])
    batch = buffer.sample(300)
    np.testing.assert_array_equal(batch["next_obs"], batch["obs"] + 1)
    ends = set(batch["rewards"][batch["terminated"]].tolist())
    assert ends == (set() if truncated else {2.0, 14.0, 26.0})


@pytest.mark.parametrize("n_step", [1, 2, 3, 5])
def test_n_step_sums_end_with_the_episode_and_at_the_newest_step(n_step: int) -> None:
    gamma = 0.9
    buffer, walk = _buffer(100, 2), Walk(2, (4, 3))
    for _ in range(3):
        buffer.add([walk.rollout(5)])
    # Written out by hand: the episodes that were walked, the last ones still going on.
    episodes = []
    for env in range(2):
        number, taken, lengths = env * 100_000, 0, (4, 3)
        for episode in range(10):
            length = min(lengths[episode % 2], 15 - taken)
            whole = length == lengths[episode % 2]
            episodes.append((number, length, whole))
            taken, number = taken + length, number + length - 1 + 10
            if taken == 15:
                break
    expected = {}
    for start, length, whole in episodes:
        for i in range(length):
            count = min(n_step, length - i)
            total = sum(gamma**k * (start + i + k) for k in range(count))
            ended = whole and i + count == length
            expected[start + i] = (total, count, ended, start + i + count)
    batch = buffer.sample(1_000, n_step, gamma)
    assert set(batch["obs"][:, 0].tolist()) == set(expected)
    for i, number in enumerate(batch["obs"][:, 0].tolist()):
        total, count, ended, after = expected[number]
        assert batch["rewards"][i] == pytest.approx(total, rel=1e-5)
        assert batch["n_step"][i] == count
        assert batch["terminated"][i] == ended
        assert batch["next_obs"][i, 0] == after


def test_environments_that_were_reset_start_new_episodes() -> None:
    buffer, walk = _buffer(100), Walk(1, (1_000,))
    buffer.add([walk.rollout(3)])
    walk.number, walk.started = walk.number + 50, False
    buffer.add([walk.rollout(3)])
    batch = buffer.sample(300, n_step=3)
    np.testing.assert_array_equal(batch["next_obs"][:, 0], batch["obs"][:, 0] + batch["n_step"])
    assert set(batch["obs"][:, 0].tolist()) == {0, 1, 2, 53, 54, 55}


def test_steps_spent_on_a_reset_are_not_stored() -> None:
    rollout = Walk(2, (1_000,)).rollout(4)
    rollout.terminated[1, 0], rollout.valid[2, 0] = True, False
    buffer = _buffer(100, 2)
    buffer.add([rollout])
    assert len(buffer) == rollout.env_steps == 7
    assert 2.0 not in buffer.sample(300)["rewards"]


def test_rollouts_of_several_runners_stay_apart() -> None:
    buffer = _buffer(100, 4)
    first, second = Walk(2, (3,)), Walk(2, (5,))
    second.number += 1_000_000
    for _ in range(3):
        buffer.add([first.rollout(4), second.rollout(4)])
    assert len(buffer) == 48
    batch = buffer.sample(2_000)
    np.testing.assert_array_equal(batch["next_obs"], batch["obs"] + 1)
    assert len(set(batch["rewards"].tolist())) == 48


def test_a_rollout_larger_than_the_buffer_keeps_its_end() -> None:
    buffer = _buffer(4)
    buffer.add([Walk(1, (1_000,)).rollout(11)])
    assert set(buffer.sample(100)["rewards"].tolist()) == {7, 8, 9, 10}


@given(
    capacity=st.integers(2, 40),
    num_envs=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    rollouts=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    priorities=st.sampled_from([None, Priorities()]),
    n_step=st.integers(1, 4),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_added_transitions_stay_whole(
    capacity: int,
    num_envs: int,
    lengths: list[int],
    rollouts: list[int],
    priorities: Priorities | None,
    n_step: int,
) -> None:
    buffer, walk = _buffer(capacity, num_envs, priorities), Walk(num_envs, tuple(lengths))
    added = 0
    for steps in rollouts:
        rollout = walk.rollout(steps)
        added += rollout.env_steps
        buffer.add([rollout])
        assert len(buffer) <= min(added, buffer.layout.rows * num_envs)
        if not len(buffer):  # episodes of one step in a buffer of three slots: nothing fits
            continue
        batch = buffer.sample(20, n_step)
        np.testing.assert_array_equal(batch["obs"][:, 0], batch["obs"][:, 0] // 1)
        np.testing.assert_array_equal(batch["next_obs"][:, 0] - batch["obs"][:, 0], batch["n_step"])
        assert buffer._columns["live"].sum() == len(buffer)


# Frames ------------------------------------------------------------------------------------------


def _image(number: int) -> np.ndarray:
    return np.full((3, 3, 1), number % 256, np.uint8)


def test_frames_are_kept_once_as_bytes_and_stacked_within_their_episode() -> None:
    stack, space = 4, gym.spaces.Box(0, 255, (3, 3, 4), np.uint8)
    buffer = _buffer(60, space=space, frame_stack=stack)
    assert buffer._columns["obs"].dtype == np.uint8
    assert buffer._columns["obs"].shape[1:] == (3, 3, 1)
    # Episodes of 7 steps; frame k of episode e is 20 e + k.
    started = False
    expected: dict[int, tuple[list[int], list[int]]] = {}
    for episode in range(8):
        frames = [20 * episode] * (stack - 1) + [20 * episode + k for k in range(8)]
        stacks = [frames[k : k + stack] for k in range(8)]
        obs = np.stack([np.concatenate([_image(f) for f in s], axis=-1) for s in stacks])
        ends = np.zeros((7, 1), bool)
        ends[-1] = True
        rewards = np.array([[20 * episode + k] for k in range(7)], np.float32)
        rollout = Rollout(
            obs=obs[:7, None],
            next_obs=obs[1:, None],
            actions=np.zeros((7, 1), np.int64),
            rewards=rewards,
            terminated=ends,
            truncated=np.zeros_like(ends),
            valid=np.ones_like(ends),
            continues=started,
        )
        started = True
        buffer.add([rollout])
        expected |= {20 * episode + k: (stacks[k], stacks[k + 1]) for k in range(7)}
    batch = buffer.sample(400)
    assert batch["obs"].shape == (400, 3, 3, 4)
    assert batch["obs"].dtype == np.uint8
    seen = set()
    for obs, next_obs, reward in zip(
        batch["obs"], batch["next_obs"], batch["rewards"], strict=True
    ):
        before, after = expected[int(reward)]
        assert obs[0, 0].tolist() == before
        assert next_obs[0, 0].tolist() == after
        seen.add(int(reward))
    assert len(seen) == len(buffer)
    assert 140 in seen
    assert 0 not in seen, "the oldest gave way"


def test_memory_is_estimated_before_it_is_allocated() -> None:
    image = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    atari = Layout(image, gym.spaces.Discrete(6), 1_000_000, 1, frame_stack=4)
    assert 7.0e9 < atari.nbytes < 7.2e9, "each frame once, as bytes"
    small = Layout(NUMBERS, DISCRETE, 1_000)
    held = ReplayBuffer(small)._columns.values()
    assert small.nbytes == sum(column.nbytes for column in held)
    huge = Layout(image, DISCRETE, 100_000_000)
    before = psutil.Process().memory_info().rss
    with pytest.raises(
        MemoryError, match=r"100,000,000 transitions takes .* lower buffer_capacity"
    ):
        ReplayBuffer(huge)
    assert psutil.Process().memory_info().rss - before < 50e6


# Priorities --------------------------------------------------------------------------------------


def test_draws_follow_the_priorities_and_weights_correct_for_them() -> None:
    buffer = _buffer(8, priorities=Priorities(alpha=1.0, beta=1.0))
    buffer.add([Walk(1, (1_000,)).rollout(8)])
    slots = np.arange(8)
    buffer.update_priorities(slots, np.arange(8, dtype=float))
    batch = buffer.sample(28_000)
    counts = np.bincount(batch["slots"], minlength=9)[:8] / 28_000
    np.testing.assert_allclose(counts, np.arange(8) / 28, atol=0.002)
    # Weighted, every transition that can be drawn counts the same.
    total = np.bincount(batch["slots"], batch["weights"], minlength=9)[1:8]
    np.testing.assert_allclose(total, total.mean(), rtol=0.05)
    assert batch["weights"].max() == 1.0


def test_a_new_transition_has_the_highest_priority_so_far() -> None:
    buffer, walk = _buffer(50, priorities=Priorities(alpha=0.5, beta=0.0)), Walk(1, (1_000,))
    buffer.add([walk.rollout(10)])
    buffer.update_priorities(np.arange(10), np.full(10, 16.0))
    buffer.add([walk.rollout(1)])
    assert buffer._tree is not None
    assert buffer._tree.get(np.array([10])) == pytest.approx(4.0)


@given(
    size=st.integers(1, 70),
    changes=st.lists(
        st.tuples(st.integers(0, 69), st.floats(0, 100, allow_subnormal=False)), max_size=60
    ),
)
@settings(max_examples=100, deadline=None)
def test_the_sum_tree_holds_sums(size: int, changes: list[tuple[int, float]]) -> None:
    tree, plain = SumTree(size), np.zeros(size)
    for leaf, weight in changes:
        if leaf < size:
            tree.set(np.array([leaf]), np.array([weight]))
            plain[leaf] = weight
    assert tree.total == pytest.approx(plain.sum())
    np.testing.assert_allclose(tree.get(np.arange(size)), plain)
    if plain.sum() > 1e-6:
        drawn = tree.draw(np.random.default_rng(0), 200)
        assert plain[drawn].min() > 0
    tree.clear()
    assert tree.total == 0.0


def test_the_sum_tree_sets_many_leaves_at_once() -> None:
    tree = SumTree(9)
    tree.set(np.arange(9), np.arange(9.0))
    tree.set(np.array([2, 5, 2]), np.array([7.0, 1.0, 3.0]))  # of a leaf that comes twice, the last
    assert tree.total == 36 - 2 - 5 + 3 + 1
    drawn = tree.draw(np.random.default_rng(0), 32_000)
    shares = np.bincount(drawn, minlength=9) / 32_000
    np.testing.assert_allclose(shares[8], 8 / tree.total, atol=0.002)


# Keeping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("priorities", [None, Priorities()])
def test_it_is_restored_from_disk(tmp_path: Path, priorities: Priorities | None) -> None:
    buffer, walk = _buffer(10, 2, priorities), Walk(2, (4,))
    for _ in range(3):
        buffer.add([walk.rollout(4)])
    if priorities:
        buffer.update_priorities(buffer.sample(5)["slots"], np.full(5, 9.0))
    buffer.save(tmp_path / "replay.npz")
    other = _buffer(10, 2, priorities)
    other.add([Walk(2, (1_000,)).rollout(3)])
    other.load(tmp_path / "replay.npz")
    assert len(other) == len(buffer)
    if priorities:
        assert other._tree is not None
        assert buffer._tree is not None
        assert other._tree.total == pytest.approx(buffer._tree.total)
    held, kept = (set(b.sample(800)["rewards"].tolist()) for b in (buffer, other))
    assert kept == held
    batch = other.sample(100, n_step=3)
    np.testing.assert_array_equal(batch["next_obs"][:, 0] - batch["obs"][:, 0], batch["n_step"])
    walk.number, walk.started = walk.number + 500, False
    other.add([walk.rollout(1)])
    later = other.sample(800)
    assert not held <= set(later["rewards"].tolist()), "the oldest gives way first"
    np.testing.assert_array_equal(later["next_obs"], later["obs"] + 1)


def test_an_empty_buffer_is_restored_empty(tmp_path: Path) -> None:
    _buffer().save(tmp_path / "replay.npz")
    buffer = _buffer()
    buffer.load(tmp_path / "replay.npz")
    assert len(buffer) == 0


def test_a_buffer_of_another_layout_is_refused(tmp_path: Path) -> None:
    _buffer(10, 2).save(tmp_path / "replay.npz")
    with pytest.raises(ValueError, match="of 2 environments"):
        _buffer(10, 1).load(tmp_path / "replay.npz")


def test_a_sample_says_how_much_memory_it_takes() -> None:
    buffer = _buffer()
    buffer.add([Walk(1, (1_000,)).rollout(5)])
    batch = buffer.sample(1)
    assert buffer.row_bytes == batch["obs"].nbytes + batch["next_obs"].nbytes
    assert math.isclose(batch["weights"][0], 1.0)
