"""What the array engine does not do runs on stock RLlib, says so once, and gives its results."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray.tune
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from stock import stock_config

from rltune import algorithms
from rltune.errors import warn_once

pytestmark = pytest.mark.usefixtures("ray_session")

QUICK: dict[str, Any] = {
    "env": "CartPole-v1",
    "seed": 3,
    "train_batch_size": 200,
    "minibatch_size": 100,
    "num_epochs": 2,
    "fcnet_hiddens": [16],
    "min_sample_timesteps_per_iteration": 200,
}


class TwoCartPoles(MultiAgentEnv):
    """Two agents, a pole each."""

    def __init__(self, _: Any = None) -> None:
        super().__init__()
        self.poles = {name: gym.make("CartPole-v1") for name in ("a", "b")}
        self.agents = self.possible_agents = list(self.poles)
        self.observation_spaces = {n: pole.observation_space for n, pole in self.poles.items()}
        self.action_spaces = {n: pole.action_space for n, pole in self.poles.items()}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return {n: pole.reset(seed=seed)[0] for n, pole in self.poles.items()}, {}

    def step(self, actions: dict[str, int]) -> Any:
        steps = {n: self.poles[n].step(action) for n, action in actions.items()}
        obs, rewards, ends, cuts = ({n: s[i] for n, s in steps.items()} for i in range(4))
        over = any(ends.values()) or any(cuts.values())
        return obs, rewards, {**ends, "__all__": over}, {**cuts, "__all__": False}, {}


class OwnModule(DefaultPPOTorchRLModule):
    """Not a subclass of rltune's."""


def _ppo_config(**changes: Any) -> Any:
    return algorithms.PPO.get_default_config().update_from_dict({**QUICK, **changes})


def _cases() -> dict[str, Any]:
    ray.tune.register_env("two-cartpoles", TwoCartPoles)
    several = _ppo_config(env="two-cartpoles")
    several.multi_agent(policies={"p"}, policy_mapping_fn=lambda *_, **__: "p")
    recurrent = _ppo_config()
    recurrent.rl_module(model_config={"use_lstm": True, "max_seq_len": 5, "lstm_cell_size": 8})
    connectors = _ppo_config()
    connectors.env_runners(env_to_module_connector=lambda *_, **__: MeanStdFilter())
    own = _ppo_config()
    own.rl_module(rl_module_spec=RLModuleSpec(module_class=OwnModule))
    called = _ppo_config()
    called.callbacks(on_episode_end=lambda **_: None)
    return {
        "several agents": several,
        "recurrent": recurrent,
        "connectors": connectors,
        "module of your own": own,
        "callbacks": called,
    }


@pytest.mark.filterwarnings("ignore:.*Overriding environment")
@pytest.mark.parametrize("reason", ["several", "recurrent", "connectors", "module", "callbacks"])
def test_it_trains_on_rllibs_own_engine(
    reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named = {name.split()[0]: (name, config) for name, config in _cases().items()}
    name, config = named[reason]
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, "rltune"):
        trained = [config.copy(copy_frozen=False).build_algo() for _ in range(2)]
    said = [record.message for record in caplog.records if record.name == "rltune"]
    assert len(said) == 1, "once a process"
    assert "runs on stock RLlib" in said[0]
    assert name in said[0]
    first, second = trained
    assert not first.on_arrays
    result = first.train()
    assert result["env_steps"] >= 200
    assert result["episode_reward_mean"] == result["env_runners"]["episode_return_mean"]
    assert math.isfinite(result["episode_reward_mean"])
    assert result["settings"]["train_batch_size"] == 200
    # A checkpoint comes back, with its clock.
    second.restore(first.save(str(tmp_path)))
    assert second.env_steps == first.env_steps
    assert second.train()["env_steps"] > first.env_steps
    first.stop()
    second.stop()


def test_it_gives_the_same_results_as_stock_rllib() -> None:
    """The same seed, the same returns, step for step."""
    ours = _ppo_config(evaluation_interval=1_000)  # a reason that changes nothing
    settings = {name: value for name, value in QUICK.items() if name not in ("env", "seed")}
    stock = stock_config("ppo", "CartPole-v1", settings, seed=3)
    stock.evaluation_interval = 1_000
    stock.num_env_runners = 0
    runs = []
    for config in (ours, stock):
        algo = config.build_algo()
        results = [algo.train() for _ in range(3)]
        weights = algo.get_module().get_state()
        runs.append(([r["env_runners"]["episode_return_mean"] for r in results], weights))
        algo.stop()
    assert runs[0][0] == runs[1][0]
    for name, weight in runs[1][1].items():
        np.testing.assert_allclose(runs[0][1][name], weight, rtol=1e-6, atol=1e-7)


def test_settings_that_neither_engine_supports_are_refused() -> None:
    with pytest.raises(ValueError, match="minibatch_size"):
        _ppo_config(minibatch_size=5_000).build_algo()


def test_an_off_policy_algorithm_falls_back_too() -> None:
    config = algorithms.DQN.get_default_config().update_from_dict(
        {
            "env": "CartPole-v1",
            "n_step": (1, 3),
            "rollout_fragment_length": "auto",
            "num_steps_sampled_before_learning_starts": 100,
            "min_sample_timesteps_per_iteration": 200,
        }
    )
    algo = config.build_algo()
    assert algo.config.fallback_reasons == ["n_step=(1, 3)"]
    result = algo.train()
    assert result["env_steps"] >= 200
    assert "episode_reward_mean" in result
    algo.stop()


def test_noisy_networks_need_the_array_engine() -> None:
    config = algorithms.DQN.get_default_config().update_from_dict(
        {"env": "CartPole-v1", "noisy": True, "n_step": (1, 3), "rollout_fragment_length": "auto"}
    )
    with pytest.raises(ValueError, match=r"does not do n_step=\(1, 3\)"):
        config.build_algo()


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    ("env", "env_config", "length"),
    [("shapes:Needs", {"length": 7}, 7), ("shapes:Maze", {"max_episode_steps": 6}, 6)],
)
def test_rllibs_own_engine_accepts_the_same_names(
    env: str, env_config: dict[str, Any], length: int
) -> None:
    asked = {**QUICK, "env": env, "env_config": env_config, "num_env_runners": 0}
    algo = algorithms.PPO(config={**asked, "callbacks": type("Own", (RLlibCallback,), {})})
    assert not algo.on_arrays
    assert algo.train()["env_runners"]["episode_len_mean"] == length
    algo.stop()
