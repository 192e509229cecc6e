"""Environments of a batch that raise."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import gymnasium as gym
import numpy as np
from faulty import Faulty
from gymnasium.vector import AutoresetMode
from rltune.envs import Copies

from rltune.engine.codec import action_codec
from rltune.engine.population.sampler import Sampler
from rltune.engine.rollout import MAX_RESTARTS

COPIES, STEPS = 2, 40


class Raises(Faulty):
    """Raises after some steps of each episode."""

    def __init__(self, after: int) -> None:
        self.after = after

    def step(self, action: Any) -> Any:
        if self.count >= self.after:
            raise ValueError("the arm is stuck")
        return super().step(action)


def _sampler(*makers: Any) -> Sampler:
    """Two copies for each member, each member's environments made by its own function."""
    made = [make for make in makers for _ in range(COPIES)]
    codec = action_codec(gym.spaces.Discrete(2))
    env = Copies(made, codec, AutoresetMode.NEXT_STEP, makers[-1])
    return Sampler(env, range(len(makers)), nullcontext())


def _played(sampler: Sampler) -> np.ndarray:
    members = len(sampler.obs)
    outcomes = np.zeros((STEPS, 4, members, COPIES), dtype=np.float32)
    for row in outcomes:
        sampler.step(np.zeros((members, COPIES), dtype=int), row)
    return outcomes


def test_a_member_whose_environments_always_raise_fails_alone() -> None:
    alone, both = _sampler(Faulty), _sampler(Faulty, lambda: Raises(2))
    np.testing.assert_array_equal(_played(both)[:, :, 0], _played(alone)[:, :, 0])
    assert list(both.failed) == [1]
    assert str(both.failed[1]) == "the arm is stuck"
    events = both.take_events(1)
    assert len(events) >= MAX_RESTARTS
    assert {event["error"] for event in events} == {"ValueError: the arm is stuck"}
    assert both.take_events(0) == []
    episodes = both.take_episodes()
    assert episodes[1] == []
    assert episodes[0] == alone.take_episodes()[0]


def test_a_member_whose_episodes_end_in_between_goes_on() -> None:
    class Sometimes(Faulty):
        tries = 0

        def step(self, action: Any) -> Any:
            type(self).tries += 1
            if self.tries % 37 == 0:
                raise ValueError("a glitch")
            return super().step(action)

    sampler = _sampler(Sometimes)
    outcomes = _played(sampler)
    assert sampler.failed == {}
    assert sampler.take_events(0)
    cut = (outcomes[:, 2] > 0) & (outcomes[:, 1] == 0)  # ended, though the task did not
    assert cut.any()
