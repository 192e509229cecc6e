"""Algorithms whose copies are stepped in several processes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from quick import make, same, weights

from rltune import envs
from rltune.algorithms.env_runner import MAX_RESTARTS
from rltune.errors import EnvironmentFailed

pytestmark = [
    pytest.mark.usefixtures("ray_session"),
    pytest.mark.skipif(not envs.POSSIBLE, reason="processes cannot be forked here"),
]


class Told(gym.Env[np.ndarray, int]):
    """CartPole that says in its last info how it went, and raises in some step.

    Args:
        raises: steps that a copy takes before each step that raises.
    """

    def __init__(self, length: int, raises: int = 0) -> None:
        self.game = gym.make("CartPole-v1", max_episode_steps=length)
        self.observation_space, self.action_space = (
            self.game.observation_space,
            self.game.action_space,
        )
        self.raises, self.taken = raises, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        self.count = 0
        seen, _ = self.game.reset(seed=seed)
        return seen, {"first": "a text"}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.count += 1
        self.taken += 1
        if self.raises and self.taken >= self.raises:
            raise RuntimeError("boom")
        seen, reward, terminated, truncated, _ = self.game.step(action)
        info = {"far": abs(float(seen[0])), "deep": {"steps": self.count}, "log": ["text"]}
        return seen, float(reward), terminated, truncated, info


gym.register("Told-v0", Told, max_episode_steps=1_000)

#: Differ between two runs of one trial.
CLOCKS = (
    "config",
    "time",
    "seconds",
    "timer",
    "perf",
    "trial_id",
    "pid",
    "date",
    "hostname",
    "throughput",
    "node_ip",
)


def _untimed(result: Any) -> Any:
    if not isinstance(result, dict):
        return result
    return {k: _untimed(v) for k, v in result.items() if not any(c in str(k) for c in CLOCKS)}


def _trained(algo: str, processes: int, **more: Any) -> tuple[list[Any], Any]:
    settings = {"env": "Told-v0", "num_envs_per_env_runner": 3, "frame_stack": 2, **more}
    if algo == "ppo":
        settings |= {"train_batch_size": 300, "minibatch_size": 100}
    member = make(algo, env_processes=processes, **settings)
    stepped = member.env_runner.env
    assert isinstance(stepped, envs.Workers) is (processes > 1)
    results = [_untimed(member.train()) for _ in range(2)]
    learnt = weights(member)
    member.cleanup()
    return results, learnt


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("raises", [0, 250])
def test_training_is_that_of_one_process(algo: str, raises: int) -> None:
    args = {"length": 40, "raises": raises}
    one, learnt = _trained(algo, 1, env_config=args)
    several, also_learnt = _trained(algo, 2, env_config=args)
    assert str(one) == str(several)
    assert same(learnt, also_learnt)
    assert one[1]["episode_info/deep/steps"] > 5
    assert one[1]["settings"]["frame_stack"] == 2
    restarts = [event for result in one for event in result.get("events", [])]
    assert {event["error"] for event in restarts} == ({"RuntimeError: boom"} if raises else set())


@pytest.mark.fault(17)
def test_an_environment_that_always_raises_is_given_up_with_its_traceback() -> None:
    member = make(
        "ppo",
        env="Told-v0",
        env_config={"length": 40, "raises": 5},
        num_envs_per_env_runner=2,
        env_processes=2,
    )
    with pytest.raises(EnvironmentFailed, match=f"after {MAX_RESTARTS} restarts") as raised:
        member.train()
    assert 'raise RuntimeError("boom")' in str(raised.value.__cause__.__cause__)
    member.cleanup()


def test_processes_and_runners_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="env_processes: the environments are stepped by num_env"):
        make("ppo", env="Told-v0", env_processes=2, num_env_runners=1)
