"""EnvPool in place of gymnasium, where a spec says that it may."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from rltune.envs import pool
from scipy.stats import ks_2samp

from rltune import algorithms, catalog, envs
from rltune.errors import BadInput
from rltune.request import resolve

POOLED = [name for name, spec in envs.INFOS.items() if spec.pooled]


def _returns(env: gym.vector.VectorEnv, episodes: int) -> list[float]:
    """Of random actions."""
    env.reset(seed=0)
    env.action_space.seed(0)
    sums, found = np.zeros(env.num_envs), []
    while len(found) < episodes:
        _, rewards, terminated, truncated, _ = env.step(env.action_space.sample())
        sums += rewards
        done = terminated | truncated
        found += sums[done].tolist()
        sums[done] = 0.0
    env.close()
    return found


@pytest.mark.parametrize("name", POOLED)
class TestEveryPooled:
    """A spec's ``pooled`` is tested by being set."""

    def test_stands_in_for_gymnasium(self, name: str) -> None:
        pooled = envs.make_vec(name, 4, simulator="envpool")
        other = envs.make_vec(name, 4)
        assert isinstance(pooled, pool.Pooled)
        assert pooled.single_observation_space == other.single_observation_space
        assert pooled.action_space == other.action_space
        obs, _ = pooled.reset(seed=0)
        assert obs.shape == pooled.observation_space.shape
        assert obs.dtype == pooled.observation_space.dtype
        pooled.close()
        other.close()

    def test_the_same_seed_gives_the_same_episodes(self, name: str) -> None:
        def trajectory(env: gym.vector.VectorEnv, seed: int) -> np.ndarray:
            env.action_space.seed(1)
            told = [env.reset(seed=seed)[0]]
            told += [env.step(env.action_space.sample())[0] for _ in range(300)]
            return np.stack(told)

        first, other = (envs.make_vec(name, 4, simulator="envpool") for _ in range(2))
        told = trajectory(first, 5)
        np.testing.assert_array_equal(told, trajectory(other, 5))
        np.testing.assert_array_equal(told, trajectory(first, 5))
        assert not np.array_equal(told, trajectory(first, 6))
        assert not np.array_equal(told[:, 0], told[:, 1]), "each copy has episodes of its own"

    def test_time_limit_can_be_set(self, name: str) -> None:
        env = envs.make_vec(name, 2, {"max_episode_steps": 3}, simulator="envpool")
        env.reset(seed=0)
        env.action_space.seed(0)
        ends = [env.step(env.action_space.sample())[3].tolist() for _ in range(3)]
        assert ends == [[False, False], [False, False], [True, True]]
        assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
        assert env.step(env.action_space.sample())[1].tolist() == [0.0, 0.0], "spent on a reset"

    def test_returns_are_gymnasiums(self, name: str) -> None:
        short = {"max_episode_steps": 200}
        ours = _returns(envs.make_vec(name, 8, short), 40)
        theirs = _returns(envs.make_vec(name, 8, short, simulator="envpool"), 40)
        assert ks_2samp(ours, theirs).pvalue > 1e-3


def _chosen(env: str, **options: Any) -> str:
    return resolve.make_spec("ppo", env, **options).env_options.simulator


def test_auto_takes_it_where_it_is_faster() -> None:
    assert _chosen("acrobot") == "envpool"
    assert _chosen("acrobot", simulator="gymnasium") == "gymnasium"
    assert _chosen("cartpole") == "gymnasium"
    assert _chosen("lunarlander", env_args={"enable_wind": True}) == "gymnasium"
    assert _chosen("acrobot", settings={"frame_stack": 2}) == "gymnasium"
    few = {"num_envs_per_env_runner": 1}
    assert _chosen("acrobot", settings=few) == "gymnasium"
    assert _chosen("acrobot", settings=few, simulator="envpool") == "envpool"
    spec = resolve.make_spec("ppo", "acrobot")
    assert "envpool" in spec.versions
    assert "envpool" not in resolve.make_spec("ppo", "cartpole").versions


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        ("cartpole", {"simulator": "envpool"}, "was not found to step cartpole faster"),
        (
            "lunarlander",
            {"simulator": "envpool", "env_args": {"enable_wind": True}},
            "takes neither frame_stack nor arguments",
        ),
        ("acrobot", {"simulator": "envpol"}, "Unknown simulator 'envpol'. Did you mean 'envpool'"),
    ],
)
def test_unsupported_arguments_are_reported(
    env: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        resolve.make_spec("ppo", env, **options)


def test_a_missing_envpool_is_named_with_its_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = resolve.make_spec("ppo", "acrobot")
    monkeypatch.setattr(pool, "find_spec", lambda _: None)
    assert _chosen("acrobot") == "gymnasium"
    with pytest.raises(BadInput, match=r"pip install 'rltune\[envpool\]'"):
        _chosen("acrobot", simulator="envpool")
    with pytest.raises(BadInput, match=r"pip install 'rltune\[envpool\]'"):
        resolve.check_simulator(elsewhere)  # before a resume or a replay


@pytest.mark.usefixtures("ray_session")
def test_trains() -> None:
    settings = catalog.preset("ppo", catalog.environment("lunarlander")).settings
    member = algorithms.PPO(
        config={**settings, "env": "lunarlander", "simulator": "envpool", "seed": 5}
    )
    rows = [member.train() for _ in range(2)]
    assert isinstance(member.env_runner.env, pool.Pooled)
    steps = [row["num_env_steps_sampled_lifetime"] for row in rows]
    # A copy's step after its episode's end is a reset, and not counted.
    assert 8_000 < steps[0] <= 8_192 < steps[1] <= 16_384
    assert -400 < rows[-1]["episode_reward_mean"] < 0
    assert member.effective_settings()["num_envs_per_env_runner"] == 16
    member.cleanup()


def test_a_worker_without_envpool_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)  # what Python takes for "not there"
    with pytest.raises(ModuleNotFoundError, match=r"rltune\[envpool\].*`simulator='gymnasium'`"):
        envs.make_vec("acrobot", 4, simulator="envpool")
