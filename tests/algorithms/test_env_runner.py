"""Vectorised rollouts: autoreset, truncation, episode statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rltune import algorithms, envs
from rltune.engine.rollout import Rollout

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
        over = self.ends and self.count == 3
        return np.full(1, self.count, np.float32), 1.0, over, False, {"count": self.count}


gym.register("Counter-v0", Counter, max_episode_steps=5)
for _mode in AutoresetMode:
    gym.register(
        f"Counter{_mode.name.title().replace('_', '')}-v0",
        Counter,
        max_episode_steps=5,
        vector_entry_point=lambda num_envs, mode=_mode, **_: SyncVectorEnv(
            [lambda: gym.make("Counter-v0")] * num_envs, autoreset_mode=mode
        ),
    )


class Images(gym.Env[np.ndarray, int]):
    """An image as bright as its step."""

    observation_space = gym.spaces.Box(0, 255, (42, 42, 1), np.uint8)
    action_space = gym.spaces.Discrete(3)
    count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros((42, 42, 1), np.uint8), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.count += 1
        return np.full((42, 42, 1), self.count, np.uint8), 1.0, self.count == 9, False, {}


gym.register("Images-v0", Images)


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


def test_the_step_of_a_next_step_autoreset_is_not_stored() -> None:
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


@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_autoreset_mode_gives_the_same_experience(mode: AutoresetMode) -> None:
    name = f"Counter{mode.name.title().replace('_', '')}-v0"
    rollout = _sample(name, 12, num_envs_per_env_runner=envs.VECTORISED_FROM)
    rows = rollout.valid[:, 0]
    steps = zip(rollout.obs[rows, 0, 0], rollout.next_obs[rows, 0, 0], strict=True)
    assert list(steps)[:10] == [(k % 5, k % 5 + 1) for k in range(10)]
    assert rollout.truncated[rows, 0][:10].tolist() == ([False] * 4 + [True]) * 2
    assert set(rollout.episode_returns) == {5.0}
    assert set(rollout.episode_lengths) == {5}
    assert [episode.info for episode in rollout.episodes] == [{"count": 5.0}] * 8


def test_joined_frames_are_the_newest_of_their_episode() -> None:
    rollout = _sample("Counter-v0", 7, frame_stack=3)
    assert rollout.obs[:, 0].tolist() == [
        *([0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]),
        *([0, 0, 0], [0, 0, 1]),
    ]
    assert rollout.next_obs[4, 0].tolist() == [3, 4, 5]
    with pytest.raises(ValueError, match="frame_stack needs observations of a Box"):
        envs.JoinFrames(gym.make("Blackjack-v1"), 2)


@pytest.mark.parametrize("algo", ["DQN", "PPO"])
def test_images_stay_bytes_until_the_network(algo: str) -> None:
    config: dict[str, Any] = {
        "env": "Images-v0",
        "seed": 0,
        "frame_stack": 4,
        "min_sample_timesteps_per_iteration": 64,
    }
    if algo == "DQN":
        config |= {"num_steps_sampled_before_learning_starts": 32, "prioritized_replay": False}
    else:
        config |= {"train_batch_size": 64, "minibatch_size": 32, "num_epochs": 2}
    member = getattr(algorithms, algo)(config=config)
    result = member.train()
    assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
    rollout = member.env_runner.sample(num_steps=12)
    assert rollout.obs.dtype == np.uint8
    assert rollout.obs.shape[2:] == (42, 42, 4)
    if algo == "DQN":
        batch = member.replay.sample(200)
        assert batch["obs"].dtype == np.uint8
        newest, older = batch["obs"][:, 0, 0, 3].astype(int), batch["obs"][:, 0, 0, 2].astype(int)
        np.testing.assert_array_equal(older, np.maximum(newest - 1, 0))
        np.testing.assert_array_equal(batch["next_obs"][:, 0, 0, 3], newest + 1)
    member.cleanup()


class Reports(Counter):
    """Whether its action was 1, and what has no mean."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, reward, over, cut, _ = super().step(action)
        return obs, reward, over, cut, {"rate": np.float32("nan"), "of": {"action": action}}


gym.register("Reports-v0", Reports, max_episode_steps=5)


def test_numbers_of_info_are_reported_and_kept_in_checkpoints(tmp_path: Path) -> None:
    config = {"env": "Reports-v0", "seed": 0, "fcnet_hiddens": [8], "train_batch_size": 100}
    member = algorithms.PPO(config={**config, "minibatch_size": 50, "num_epochs": 1})
    result = member.train()
    actions = [episode.info["of/action"] for episode in member.window.episodes]
    assert len(actions) == len(member.window.returns) > 10
    share = sum(actions) / len(actions)
    assert result["episode_info/of/action"] == share
    assert 0.0 < share < 1.0
    assert result["episode_len_mean"] == result["env_runners"]["episode_len_mean"] == 5.0
    assert "episode_info/rate" not in result
    (event,) = result["events"]
    assert event["error"].startswith("episode_info/rate was nan at an episode's end")
    assert "events" not in member.train(), "told once"
    member.save(str(tmp_path))
    means = member.window.means()
    member.window.clear()
    member.restore(str(tmp_path))
    assert member.window.means() == means
    member.cleanup()
