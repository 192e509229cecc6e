"""rltune's algorithms in a user's own Ray script."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray.tune
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.schedulers import PopulationBasedTraining

from rltune import algorithms

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


def test_a_tuner_with_stock_pbt(tmp_path: Path) -> None:
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",
        metric="episode_reward_mean",
        mode="max",
        perturbation_interval=2,
        quantile_fraction=0.5,
        hyperparam_mutations={"lr": ray.tune.loguniform(1e-4, 1e-2)},
        require_attrs=False,
    )
    tuner = ray.tune.Tuner(
        algorithms.PPO,
        param_space={
            "env": "CartPole-v1",
            "lr": ray.tune.loguniform(1e-4, 1e-2),
            "train_batch_size": 256,
            "minibatch_size": 64,
            "num_epochs": 4,
            "num_envs_per_env_runner": 4,
        },
        tune_config=ray.tune.TuneConfig(num_samples=2, scheduler=scheduler, reuse_actors=True),
        run_config=ray.tune.RunConfig(
            storage_path=str(tmp_path), stop={"training_iteration": 8}, verbose=0
        ),
    )
    results = tuner.fit()
    assert not results.errors
    assert scheduler._num_perturbations >= 1
    for result in results:
        assert result.metrics["training_iteration"] == 8
        assert result.metrics["settings"]["lr"] == pytest.approx(result.config["lr"])
        assert result.metrics["episode_reward_mean"] > 0


def test_rllib_knows_the_short_names() -> None:
    algorithms.register_envs()
    stock = PPOConfig().environment("acrobot").env_runners(num_env_runners=0).build_algo()
    assert stock.env_runner.env.single_observation_space.shape == (6,)
    stock.stop()
