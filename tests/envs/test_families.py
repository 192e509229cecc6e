"""The contract of an environment: a row in a family is tested by existing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from environments import ALL
from gymnasium.utils.env_checker import check_env

from rltune import catalog, envs

STEPS = 60


@pytest.fixture
def env(name: str) -> Iterator[gym.Env[Any, Any]]:
    """The environment as everything here makes it."""
    made = envs.make(name)
    yield made
    made.close()


def _trajectory(env: gym.Env[Any, Any], seed: int, actions: int = 5) -> list[Any]:
    """Everything that an environment tells in an episode of random actions, from a seed."""
    env.action_space.seed(actions)
    told: list[Any] = [env.reset(seed=seed)[0]]
    for _ in range(STEPS):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        told += [obs, reward, terminated, truncated]
        if terminated or truncated:
            told.append(env.reset()[0])
    return told


def _equal(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", ALL)
class TestEveryEnvironment:
    """Over all families."""

    # What a wrapper hides, and what is a family's own habit.
    @pytest.mark.filterwarnings(
        "ignore:.*(different from the unwrapped version|not within|Box obs)"
    )
    @pytest.mark.filterwarnings("ignore:.*(render|recommend|hasn't been set|symmetric)")
    def test_keeps_gymnasiums_api(self, name: str, env: gym.Env[Any, Any]) -> None:
        check_env(env, skip_render_check=True)

    def test_the_same_seed_gives_the_same_episodes(self, name: str, env: gym.Env[Any, Any]) -> None:
        first, again = _trajectory(env, seed=3), _trajectory(env, seed=3)
        assert _equal(first, again)

    def test_two_equal_copies_act_alike(self, name: str, env: gym.Env[Any, Any]) -> None:
        other = envs.make(name)
        assert _equal(_trajectory(env, seed=4), _trajectory(other, seed=4))
        other.close()

    def test_other_seeds_give_other_episodes(self, name: str, env: gym.Env[Any, Any]) -> None:
        if name in {"minigrid-empty"}:
            pytest.skip("it has no chance in it")
        first = _trajectory(env, seed=0)
        assert not all(_equal(first, _trajectory(env, seed=seed)) for seed in range(1, 8))

    def test_short_name_and_id_are_the_same(self, name: str) -> None:
        spec = envs.INFOS[name]
        for other in (name, spec.id, envs.bare(spec.id)):
            assert catalog.environment(other) == spec

    def test_matches_its_spec(self, name: str, env: gym.Env[Any, Any]) -> None:
        spec = envs.INFOS[name]
        assert env.spec is not None
        assert env.spec.max_episode_steps == spec.max_episode_steps
        assert spec.images == (len(env.observation_space.shape or ()) == 3)
        registered = gym.spec(envs.bare(spec.id)).reward_threshold
        if spec.threshold_reason is None:
            assert registered == spec.threshold
        else:
            assert registered is None, "gymnasium has one of its own"

    def test_a_network_can_read_it(self, name: str, env: gym.Env[Any, Any]) -> None:
        space = env.observation_space
        assert isinstance(space, gym.spaces.Box)
        assert len(space.shape) in (1, 3)
        assert (space.dtype == np.uint8) == (len(space.shape) == 3 or name.startswith("minigrid"))

    def test_steps_as_a_single_copy_and_as_a_vector(
        self, name: str, env: gym.Env[Any, Any]
    ) -> None:
        vector = envs.make_vec(name, 3)
        assert vector.single_observation_space == env.observation_space
        first, again = vector.reset(seed=1)[0], vector.reset(seed=1)[0]
        np.testing.assert_array_equal(first, again)
        _, rewards, terminated, truncated, _ = vector.step(vector.action_space.sample())
        assert rewards.shape == terminated.shape == truncated.shape == (3,)
        vector.close()

    def test_time_limit_can_be_set(self, name: str) -> None:
        short = envs.make(name, {"max_episode_steps": 3})
        short.reset(seed=0)
        short.action_space.seed(1)  # in FrozenLake two steps may lead into a hole
        ends = [short.step(short.action_space.sample())[2:4] for _ in range(3)]
        assert any(ends[-1])
        assert not any(any(end) for end in ends[:-1])
        short.close()
