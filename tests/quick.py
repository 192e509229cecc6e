"""Real members that train for a moment, for the tests beside this file."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import torch
from ray.tune.result import TRIAL_INFO

from rltune import algorithms, catalog
from rltune.catalog.algorithms import ALGORITHMS

#: GPUs of each learner: with ``RLTUNE_TEST_GPUS=1`` the tests beside this file train on one.
GPUS = float(os.environ.get("RLTUNE_TEST_GPUS", "0"))
#: Where each algorithm's actions fit.
ENV = {"ppo": "cartpole", "dqn": "cartpole", "sac": "pendulum"}


def config(algo: str, env: str | None = None, trial: str = "t01", **changes: Any) -> dict[str, Any]:
    """A preset's settings, quick to train, as Tune hands them to a trial."""
    env = env or ENV[algo]
    preset = env if ":" not in env and "-v" not in env else ENV[algo]
    settings = dict(catalog.preset(algo, catalog.environment(preset)).settings)
    quick = {
        "min_sample_timesteps_per_iteration": 500,
        "num_steps_sampled_before_learning_starts": 100,
        "buffer_capacity": 20_000,
        "training_intensity": 16.0,
    }
    return {
        **settings,
        **{key: value for key, value in quick.items() if key in settings},
        "env": env,
        "seed": 5,
        "num_gpus_per_learner": GPUS,
        TRIAL_INFO: SimpleNamespace(trial_id=trial, trial_name=trial),
        **changes,
    }


def make(algo: str, **changes: Any) -> Any:
    """A member of a population; ``trial`` is its id."""
    return getattr(algorithms, ALGORITHMS[algo].class_name)(config=config(algo, **changes))


def exploit(donor: Any, env_steps: int, own_checkpoint: str | None = None) -> dict[str, Any]:
    """What a scheduler writes into a clone's config."""
    return {"donor": donor.trial_id, "env_steps": env_steps, "own_checkpoint": own_checkpoint}


def weights(member: Any) -> dict[str, torch.Tensor]:
    """A copy of the network's weights, target networks included."""
    return {name: w.cpu().clone() for name, w in member.learner.net.state_dict().items()}


def optimiser(member: Any) -> list[torch.Tensor]:
    """A copy of every optimiser's state."""
    return [
        value.cpu().clone()
        for each in member.learner._named_optimizers.values()
        for state in each.state.values()
        for value in state.values()
    ]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two copies are equal bit for bit."""
    return all(torch.equal(a[name].cpu(), b[name].cpu()) for name in a)
