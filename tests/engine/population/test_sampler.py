"""Environments of a batch that raise."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
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


MODES = pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])


def _sampler(mode: AutoresetMode, *makers: Any) -> Sampler:
    """Two copies for each member, each member's environments made by its own function."""
    made = [make for make in makers for _ in range(COPIES)]
    codec = action_codec(gym.spaces.Discrete(2))
    env = Copies(made, codec, mode, makers[-1])
    return Sampler(env, range(len(makers)), nullcontext())


def _played(sampler: Sampler, steps: int = STEPS) -> np.ndarray:
    """Outcomes, shape (T, 4, M, E)."""
    members = len(sampler.obs)
    outcomes = np.zeros((steps, 4, members, COPIES), dtype=np.float32)
    for row in outcomes:
        sampler.step(np.zeros((members, COPIES), dtype=int), row)
    return outcomes


@MODES
def test_a_member_whose_environments_always_raise_fails_alone(mode: AutoresetMode) -> None:
    alone, both = _sampler(mode, Faulty), _sampler(mode, Faulty, lambda: Raises(2))
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


@MODES
def test_a_member_whose_episodes_end_in_between_goes_on(mode: AutoresetMode) -> None:
    class Sometimes(Faulty):
        tries = 0

        def step(self, action: Any) -> Any:
            type(self).tries += 1
            if self.tries % 37 == 0:
                raise ValueError("a glitch")
            return super().step(action)

    sampler = _sampler(mode, Sometimes)
    rewards, _, done, valid = _played(sampler, STEPS + 2).swapaxes(0, 1)[:, :, 0]
    assert sampler.failed == {}
    raised = len(sampler.take_events(0))
    assert raised == 2
    # Neither the step that raised nor the reset after it is experience.
    resets = 0 if mode == AutoresetMode.SAME_STEP else int(done[:-1].sum())
    assert (valid == 0).sum() == 2 * raised + resets
    assert sampler.env_steps[0] == valid.sum() == rewards.sum()
    assert not (done * (1 - valid)).any()
    assert all(episode.length == 10 for episode in sampler.take_episodes()[0])


def test_a_reset_that_raises_leaves_the_episode_before_it_whole() -> None:
    class Stuck(Faulty):
        resets = 0

        def reset(self, **kwargs: Any) -> Any:
            type(self).resets += 1
            if self.resets == 4:
                raise ValueError("no licence")
            return super().reset(**kwargs)

    sampler = _sampler(AutoresetMode.SAME_STEP, Stuck)
    outcomes = _played(sampler, 10)[:, :, 0]
    assert outcomes[-1, 2:].tolist() == [[1, 1], [1, 1]]
    assert len(sampler.take_episodes()[0]) == 2
    assert len(sampler.take_events(0)) == 1
    outcomes = _played(sampler, 1)[0, :, 0]
    assert outcomes[3].tolist() == [1, 0]  # the second copy's reset
    assert sampler.running.tolist() == [[1, 0]]


@MODES
def test_a_restart_takes_no_step(mode: AutoresetMode) -> None:
    whole, restarted = (_sampler(mode, Faulty, Faulty) for _ in range(2))
    for sampler in (whole, restarted):
        _played(sampler, 10)  # all episodes have just ended
    restarted.restart(1, 3, 7)
    first = [Faulty().reset(seed=3 + copy)[0] for copy in range(COPIES)]
    np.testing.assert_array_equal(restarted.obs[1], first)
    np.testing.assert_array_equal(restarted.obs[0], whole.obs[0])
    mine, theirs = _played(restarted, 12), _played(whole, 12)
    np.testing.assert_array_equal(mine[:, :, 0], theirs[:, :, 0])
    assert mine[:10, 3, 1].all()
    assert restarted.env_steps[1] == 7 + mine[:, 3, 1].sum()


def test_last_observations_are_those_before_the_reset() -> None:
    class Counts(Faulty):
        def see(self) -> Any:
            return np.full(3, self.count / 10, np.float32)

    sampler = _sampler(AutoresetMode.SAME_STEP, Counts)
    _played(sampler, 9)
    assert sampler.last_obs is None
    _played(sampler, 1)
    assert sampler.last_obs is not None
    assert (sampler.last_obs == 1).all()
    assert (sampler.obs == 0).all()


def test_a_last_observation_that_is_not_finite_is_a_divergence() -> None:
    class Blind(Faulty):
        def see(self) -> Any:
            return super().see() * (np.nan if self.count == 10 else 1)

    sampler = _sampler(AutoresetMode.SAME_STEP, Blind)
    _played(sampler, 10)
    assert sampler.diverged[0].what == "observation"
