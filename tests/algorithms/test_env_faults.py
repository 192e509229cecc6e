"""Environments that raise: rebuilt, or given up with the whole story."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
from quick import make
from trouble import STEPS, trouble

from rltune.algorithms.env_runner import MAX_RESTARTS
from rltune.catalog.algorithms import ALGORITHMS
from rltune.errors import EnvironmentFailed

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.mark.fault(16)
@pytest.mark.parametrize("what", ["step", "reset"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_an_environment_that_raises_once_is_rebuilt(algo: str, what: str) -> None:
    settings = trouble(algo, what, at=650)
    member = make(algo, **settings)
    first = member.train()
    assert "events" not in first
    results = [member.train(), member.train()]
    (event,) = results[0].get("events", []) + results[1].get("events", [])
    error = "RuntimeError: boom" if what == "step" else "RuntimeError: no reset"
    assert (event["kind"], event["error"]) == ("env_restart", error)
    assert 600 <= event["env_steps"] < 900
    assert results[1]["env_steps"] > results[0]["env_steps"] > first["env_steps"]
    assert "diverged" not in results[1]
    member.cleanup()


class Ticks(gym.Env[np.ndarray, int]):
    """Observes 100 times its copy's number, and its own step; raises at the 8th step of all."""

    observation_space = gym.spaces.Box(0, 1e6, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    made = 0
    taken = 0

    def __init__(self) -> None:
        Ticks.made += 1
        self.start = 100.0 * Ticks.made

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.now = self.start
        return np.full(1, self.now, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        Ticks.taken += 1
        if Ticks.taken == 8:
            raise RuntimeError("boom")
        self.now += 1
        return np.full(1, self.now, np.float32), 1.0, False, False, {}


gym.register("Ticks-v0", Ticks, max_episode_steps=50)


@pytest.mark.fault(16)
def test_nothing_flows_across_the_rebuild() -> None:
    member = make("dqn", env="Ticks-v0", num_envs_per_env_runner=1)
    Ticks.made, Ticks.taken = 0, 0
    runner = member.env_runner
    runner.make_env()
    start = float(runner._obs[0, 0])
    rollout = runner.sample(num_steps=12, env_steps=1_000)
    assert len(rollout.rewards) == 12
    assert rollout.truncated[:, 0].tolist() == [False] * 6 + [True] + [False] * 5
    assert not rollout.terminated.any()
    assert rollout.obs[:7, 0, 0].tolist() == [start + k for k in range(7)]
    assert rollout.next_obs[6, 0, 0] == start + 7, "the last step leads to what it led to"
    again = rollout.obs[7, 0, 0]
    assert again > start + 7
    assert rollout.obs[7:, 0, 0].tolist() == [again + k for k in range(5)]
    assert rollout.episode_returns == [], "a discarded episode has no return"
    assert rollout.events[0]["env_steps"] == 1_007
    # In the buffer a sum of rewards ends there too.
    member.replay.add([rollout])
    batch = member.replay.sample(500, n_step=5)
    np.testing.assert_array_equal(batch["next_obs"] - batch["obs"], batch["n_step"][:, None])
    # At the first step of a rollout the episode before it is left.
    Ticks.taken = 7
    rollout = runner.sample(num_steps=3)
    assert not rollout.continues
    assert runner.sample(num_steps=3).continues
    member.replay.add([rollout])
    batch = member.replay.sample(500, n_step=5)
    np.testing.assert_array_equal(batch["next_obs"] - batch["obs"], batch["n_step"][:, None])
    member.cleanup()


@pytest.mark.fault(17)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_an_environment_that_always_raises_is_given_up(algo: str) -> None:
    settings = trouble(algo, "step", at=120, times=float("inf"))
    member = make(algo, **settings)
    with pytest.raises(EnvironmentFailed) as raised:
        member.train()
    assert STEPS[settings["env_config"]["key"]] == 120 + MAX_RESTARTS, "one step a restart"
    text = "".join(traceback.format_exception(raised.value))
    assert f"Trouble-v0 raised RuntimeError at env step 119, after {MAX_RESTARTS} restarts" in text
    assert 'raise RuntimeError("boom")' in text
    assert "trouble.py" in text
    member.cleanup()


@pytest.mark.fault(17)
def test_a_finished_episode_resets_the_count_of_failures() -> None:
    settings = trouble("dqn", "step", at=120, times=MAX_RESTARTS)
    member = make("dqn", **settings)
    assert len(member.train()["events"]) == MAX_RESTARTS
    assert member.env_runner._restarts == 0
    # The same again: as many restarts, and no failure.
    STEPS[settings["env_config"]["key"]] = 110
    assert len(member.train()["events"]) == MAX_RESTARTS
    member.cleanup()


@pytest.mark.fault(17)
def test_the_whole_traceback_reaches_the_driver() -> None:
    settings = trouble("dqn", "step", at=120, times=float("inf"))

    @ray.remote
    def train(values: dict[str, Any], here: Path) -> None:
        import sys

        sys.path[:0] = [str(here), str(here.parent)]
        import quick
        import trouble  # noqa: F401  (it registers the environment)

        quick.make("dqn", **values).train()

    with pytest.raises(ray.exceptions.RayTaskError) as raised:
        ray.get(train.remote(settings, Path(__file__).parent))
    text = str(raised.value)
    assert "RuntimeError: boom" in text
    assert "EnvironmentFailed: Trouble-v0 raised RuntimeError at env step" in text


def test_any_other_error_names_environment_and_step() -> None:
    member = make("dqn", trial="t07")
    member.train()

    def broken(*_: Any) -> None:
        raise ValueError("a fault of ours")

    member.learner.gradients = broken
    with pytest.raises(ValueError, match="a fault of ours") as raised:
        member.train()
    text = "".join(traceback.format_exception(raised.value))
    assert f"t07: cartpole, env step {member.env_steps}" in text
    assert "in broken" in text
    member.cleanup()
