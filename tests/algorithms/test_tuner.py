"""rltune's algorithms in a user's own Ray script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray.tune
import shapes
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.schedulers import PopulationBasedTraining

from rltune import algorithms

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]

#: A config of RLlib's names and the rate that stock PBT mutates, by algorithm.
SCRIPTS: dict[str, tuple[dict[str, Any], str]] = {
    "PPO": (
        {
            "env": "CartPole-v1",
            "train_batch_size": 256,
            "minibatch_size": 64,
            "num_epochs": 4,
            "num_envs_per_env_runner": 4,
        },
        "lr",
    ),
    "DQN": (
        {
            "env": "CartPole-v1",
            "num_steps_sampled_before_learning_starts": 100,
            "min_sample_timesteps_per_iteration": 400,
        },
        "lr",
    ),
    "SAC": (
        {
            "env": "Pendulum-v1",
            "num_steps_sampled_before_learning_starts": 100,
            "training_intensity": 16.0,
            "min_sample_timesteps_per_iteration": 200,
        },
        "critic_lr",
    ),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[] if one == "DQN" else [pytest.mark.by_hand]) for one in SCRIPTS],
)
def test_a_tuner_runs_stock_pbt(name: str, tmp_path: Path) -> None:
    config, rate = SCRIPTS[name]
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",
        metric="episode_reward_mean",
        mode="max",
        perturbation_interval=2,
        quantile_fraction=0.5,
        synch=True,  # else a slow machine may end one trial before the other starts
        hyperparam_mutations={rate: ray.tune.loguniform(1e-4, 1e-2)},
        require_attrs=False,
    )
    tuner = ray.tune.Tuner(
        getattr(algorithms, name),
        param_space={**config, rate: ray.tune.loguniform(1e-4, 1e-2)},
        tune_config=ray.tune.TuneConfig(num_samples=2, scheduler=scheduler, reuse_actors=True),
        run_config=ray.tune.RunConfig(
            storage_path=str(tmp_path), stop={"training_iteration": 4}, verbose=0
        ),
    )
    results = tuner.fit()
    assert not results.errors
    assert scheduler._num_perturbations >= 1
    for result in results:
        # A clone of a donor that was done already takes one more.
        assert result.metrics["training_iteration"] in (4, 5)
        assert result.metrics["settings"][rate] == pytest.approx(result.config[rate])
        assert result.metrics["episode_reward_mean"] != 0.0


def _made(context: Any) -> shapes.Needs:
    assert context.num_workers == 0
    return shapes.Needs(context)


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    ("env", "env_config", "length"),
    [
        ("registered", {"length": 7}, 7),
        (shapes.Needs, {"length": 7}, 7),
        (shapes.Rllib, {}, 10),
        (shapes.Maze, {"max_episode_steps": 6}, 6),
        (shapes.Plain, {}, 10),
        ("shapes:Needs", {"length": 7}, 7),
        ("shapes:factory", {"length": 4}, 4),
    ],
    ids=str,
)
def test_every_env_that_rllib_accepts_is_accepted(env: Any, env_config: Any, length: int) -> None:
    ray.tune.register_env("registered", lambda context: _made(context))
    quick = {"train_batch_size": 128, "minibatch_size": 64, "num_envs_per_env_runner": 2}
    algo = algorithms.PPO(config={"env": env, "env_config": env_config, **quick})
    assert algo.train()["env_runners"]["episode_len_mean"] == length
    assert algo.on_arrays
    algo.stop()


def test_rllib_knows_the_short_names() -> None:
    algorithms.register_envs()
    stock = PPOConfig().environment("acrobot").env_runners(num_env_runners=0).build_algo()
    assert stock.env_runner.env.single_observation_space.shape == (6,)
    stock.stop()
