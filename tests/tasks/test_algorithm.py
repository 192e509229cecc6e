"""Algorithms of RLlib's, by name or class, on stock RLlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.rllib.algorithms.appo import APPO
from ray.rllib.algorithms.dqn import DQN
from ray.rllib.algorithms.ppo import PPO

from rltune import algorithms
from rltune.algorithms import stock
from rltune.errors import BadInput
from rltune.request.functions import function_spec
from rltune.spec import RunSpec
from rltune.tasks import task_of

#: Settings with which an iteration takes a fraction of a second.
QUICK = {
    "env": "CartPole-v1",
    "num_steps_sampled_before_learning_starts": 100,
    "min_sample_timesteps_per_iteration": 250,
    "train_batch_size": 32,
}
#: Of which RLlib's PPO does not take every combination.
BATCHES = {"train_batch_size": {"choice": [64, 32]}, "minibatch_size": {"choice": [64, 16]}}


def spec_of(algorithm: Any = "DQN", **options: Any) -> RunSpec:
    """A request for DQN on CartPole."""
    asked = {
        "space": {"lr": {"log": [1e-4, 1e-2]}},
        "settings": QUICK,
        **{"metric": "episode_reward_mean", "steps": 1_000, "name": "a"},
    }
    asked |= options
    return function_spec(algorithm, asked.pop("space"), **asked)


@pytest.mark.parametrize(
    ("algorithm", "options", "match"),
    [
        ("DQNN", {}, "Unknown algorithm of RLlib's 'DQNN'. Did you mean 'DQN'"),
        ("DQN", {"settings": {**QUICK, "lrr": 1}}, "unknown setting 'lrr' of RLlib's DQN. Did you"),
        ("DQN", {"settings": {**QUICK, "env": "CartPol-v1"}}, "Did you mean"),
        (
            "DQN",
            {"space": {"lr": {"choice": ["a", "b"]}}},
            "^lr: expected a number, got 'b'",
        ),
        (
            "DQN",
            {"space": {"lr": {"choice": [[1], [2]]}}},
            "settings: RLlib's DQN refuses it: .*lr`",
        ),
        ("DQN", {"settings": {**QUICK, "gamma": 2.0}}, r"^gamma: expected a .* \[0, 1\]"),
        ("DQN", {"settings": {**QUICK, "gamma": "x"}}, "gamma: expected a number, got 'x'"),
        ("DQN", {"settings": {**QUICK, "train_batch_size": 0}}, r"train_batch_size: .* \[1, inf\]"),
        ("DQN", {"settings": {**QUICK, "double_q": "maybe"}}, "double_q: expected true or false"),
        (
            "PPO",
            {"space": {"gamma": {"uniform": [0.1, 1.2]}}, "settings": {"env": "CartPole-v1"}},
            "space gamma = 1.2: gamma: expected",
        ),
        ("DQN", {"space": {"lr": {"uniform": [-1, 1]}}}, "^lr: expected a value in"),
        # RLlib's own check of this one never ends.
        ("PPO", {"settings": {"rollout_fragment_length": 0}}, "rollout_fragment_length: expected"),
        (
            "PPO",
            {"space": BATCHES, "settings": {"env": "CartPole-v1"}},
            "64: RLlib's PPO refuses it",
        ),
        ("PPO", {"settings": {"model": {"fcnet_hiddens": [8]}}}, "RLlib does not read it; use mod"),
        (
            "PPO",
            {"settings": {"model_config": {"fcnet_hidden": [8]}}},
            "Did you mean 'fcnet_hiddens",
        ),
        ("DQN", {"steps": None}, "a class trainable trains without end"),
        (
            "DQN",
            {"space": {"dueling": {"choice": [True, False]}}, "scheduler": "pbt"},
            "pbt has nothing to change while it trains",
        ),
        (
            "PPO",
            {"space": {"num_env_runners": {"int": [0, 2]}}, "settings": {"env": "CartPole-v1"}},
            "space num_env_runners: trials at different values need different resources",
        ),
    ],
)
def test_a_wrong_request_for_an_algorithm_is_refused(
    algorithm: str, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(BadInput, match=match):
        spec_of(algorithm, **options)


def test_what_only_rllib_allows_is_left_to_it() -> None:
    settings = {
        "rollout_fragment_length": "auto",
        "n_step": [1, 3],
        "lr": [[0, 1e-3], [1_000, 0.0]],
        "grad_clip": None,
        "min_sample_timesteps_per_iteration": 0,
        "model_config": {"fcnet_hiddens": [8]},
    }
    kind = stock.configured(DQN, {"env": "CartPole-v1", **settings})
    assert kind.model_config["fcnet_hiddens"] == [8]


def test_settings_that_cannot_be_together_are_kept_apart_by_a_constraint() -> None:
    fits = ["minibatch_size <= train_batch_size"]
    spec = spec_of("PPO", space={**BATCHES, "constraints": fits}, settings={"env": "CartPole-v1"})
    assert [constraint.text for constraint in spec.space.constraints] == fits


def test_runners_are_in_the_resources_of_a_trial() -> None:
    settings = {"env": "CartPole-v1", "num_env_runners": 2, "num_cpus_per_env_runner": 0.25}
    task = task_of(spec_of(APPO, settings=settings, cpus_per_trial=0.5))
    assert task.spec.env_id == "ray.rllib.algorithms.appo.appo:APPO"
    own, *others = task.trainable.default_resource_request(
        {**task.config((), 0.5), **task.spec.settings}
    ).bundles
    assert own["CPU"] == 0.5
    assert {"CPU": 0.25} in others
    assert task.cpus == 0.5 + sum(bundle.get("CPU", 0) for bundle in others)


def test_a_gpu_of_a_trial_is_its_learners() -> None:
    spec = spec_of(gpus_per_trial=0.5, address="auto")  # this machine may have none
    assert spec.settings["num_gpus_per_learner"] == 0.5
    (bundle,) = (
        task_of(spec)
        .trainable.default_resource_request({**task_of(spec).config((), 1.0), **spec.settings})
        .bundles
    )
    assert bundle == {"CPU": 1.0, "GPU": 0.5}


@pytest.mark.parametrize(
    ("learners", "gpus", "expected"),
    [
        (2, 2, [{"CPU": 1.0}, {"GPU": 1.0}, {"GPU": 1.0}]),
        (2, 1, [{"CPU": 1.0}, {"GPU": 0.5}, {"GPU": 0.5}]),
        (0, 1, [{"CPU": 1.0, "GPU": 1.0}]),
    ],
)
def test_the_gpus_of_a_trial_are_shared_out_among_its_learners(
    learners: int, gpus: float, expected: list[dict[str, float]]
) -> None:
    settings = {"env": "CartPole-v1", "num_env_runners": 0, "num_learners": learners}
    task = task_of(spec_of("PPO", settings=settings, gpus_per_trial=gpus, address="auto"))
    assert task.bundles(1.0) == expected


def test_gpus_that_learners_get_otherwise_are_refused() -> None:
    settings = {"env": "CartPole-v1", "num_learners": 2, "num_gpus_per_learner": 1}
    with pytest.raises(BadInput, match="2 for each learner"):
        spec_of("PPO", settings={**settings, "num_learners": 1}, gpus_per_trial=2, address="auto")
    own = spec_of("PPO", settings=settings, gpus_per_trial=2, address="auto")
    assert own.settings["num_gpus_per_learner"] == 1


def test_a_class_of_rltunes_is_rltunes() -> None:
    spec = spec_of(algorithms.PPO, settings={"env": "cartpole"})
    assert spec.env_id == "rltune.algorithms.ppo.algorithm:PPO"
    assert spec.settings["env"] == "CartPole-v1"


def _trial(algorithm: Any, **settings: Any) -> Any:
    """A trial of an algorithm, outside of a sweep."""
    config = {"env": "CartPole-v1", "num_env_runners": 0, **settings}
    return stock.trial_of(algorithm)({**config, "seed": 1})


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("algorithm", [PPO, algorithms.PPO])
def test_a_trial_continues_at_its_own_settings(algorithm: Any, tmp_path: Path) -> None:
    quick = {"train_batch_size": 256, "minibatch_size": 64, "num_epochs": 2}
    donor, clone = (_trial(algorithm, lr=lr, **quick) for lr in (1e-3, 2e-3))
    reports = [donor.step() for _ in range(2)]
    assert reports[0]["env_steps"] < reports[1]["env_steps"]
    assert 8 < reports[1]["episode_reward_mean"] < 200
    everything = donor.rllib_result
    assert "config" not in everything
    assert everything["env_runners"]["num_env_steps_sampled_lifetime"] == reports[1]["env_steps"]
    donor.save_checkpoint(str(tmp_path))
    clone.load_checkpoint(str(tmp_path))
    (rate,) = (
        group["lr"]
        for optimizer in clone.algorithm.learner_group._learner._named_optimizers.values()
        for group in optimizer.param_groups
    )
    assert rate == 2e-3
    assert clone.step()["env_steps"] > reports[1]["env_steps"]
    for trial in (donor, clone):
        trial.cleanup()
