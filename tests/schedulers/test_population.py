"""The population schedulers on tables, without training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray.tune.experiment import Trial

from rltune.request import make_spec
from rltune.schedulers import SCHEDULERS, Decision, Plan, build, row
from rltune.schedulers.pb2 import Pb2
from rltune.schedulers.pbt import Pbt
from rltune.schedulers.population import Population
from rltune.searchers.random import starting_point
from rltune.settings import algorithm

POPULATIONS = [name for name in SCHEDULERS if row(name).population]


def _population(scheduler: str, members: int = 4, **options: Any) -> tuple[Population, list[Any]]:
    told: list[Decision] = []
    spec = make_spec("ppo", "cartpole", scheduler=scheduler, trials=members, **options)
    population = build(Plan(spec, told.append, slots=2))
    population.told = told
    population._has_room = True  # there is no controller whose actors could be kept
    trials = [
        Trial("ppo", trial_id=f"t{n:02d}", config=starting_point(spec, n), stub=True)
        for n in range(members)
    ]
    for trial in trials:
        population.on_trial_add(None, trial)
    return population, trials


def _report(population: Population, trial: Any, steps: int, score: float) -> None:
    state = population._trial_state[trial]
    result = {"episode_reward_mean": score, "env_steps": steps}
    population._save_trial_state(state, steps, result, trial)


@pytest.mark.parametrize("scheduler", POPULATIONS)
def test_no_proposal_leaves_the_space(scheduler: str) -> None:
    population, trials = _population(scheduler, seed=1)
    spec = population._plan.spec
    rng = np.random.default_rng(0)
    for interval in range(1, 16):
        for trial in trials:
            _report(population, trial, 1000 * interval, float(rng.normal()))
        clone, donor = trials[interval % 4], trials[(interval + 1) % 4]
        config, _ = population._get_new_config(clone, donor)
        assert spec.space.contains(config)
        assert config["seed"] == clone.config["seed"], "a clone keeps its own randomness"
        assert config["env_steps_before"] == 1000 * interval, "and its own clock"
        clone.config = config
    assert [d.kind for d in population.told] == ["exploit"] * 15
    assert all(d.requested.keys() == spec.space.keys() for d in population.told)


@pytest.mark.parametrize("scheduler", POPULATIONS)
def test_the_first_exploit_is_no_unchanged_copy(scheduler: str) -> None:
    population, trials = _population(scheduler)
    for trial in trials[:2]:
        _report(population, trial, 1000, 5.0 if trial is trials[0] else 1.0)
    config, _ = population._get_new_config(trials[1], trials[0])
    mutable = algorithm("ppo").mutable(population._plan.spec.space)
    assert any(config[name] != trials[0].config[name] for name in mutable)


@pytest.mark.parametrize("scheduler", POPULATIONS)
def test_structural_settings_go_with_the_weights(scheduler: str) -> None:
    space = {"fcnet_activation": {"choice": ["relu", "tanh"]}, "lr": {"log": [1e-4, 1e-2]}}
    population, trials = _population(scheduler, space=space)
    for n, trial in enumerate(trials):
        trial.config["fcnet_activation"] = "relu" if n else "tanh"
        _report(population, trial, 1000, -float(n))
    for clone in trials[1:]:
        config, _ = population._get_new_config(clone, trials[0])
        assert config["fcnet_activation"] == "tanh"


def test_33_equals_are_no_donors() -> None:
    population, trials = _population("pbt", members=2)
    for trial in trials:
        _report(population, trial, 1000, 7.0)
        population._trial_state[trial].last_checkpoint = object()
    assert not population._is_better(trials[0], trials[1])
    _report(population, trials[0], 2000, 8.0)
    assert population._is_better(trials[0], trials[1])
    assert not population._is_better(trials[0], trials[0])


def test_pb2_finds_the_better_end_of_a_logarithmic_scale() -> None:
    """Gains grow with the logarithm of lr: PB2 must come to propose large ones."""
    chosen = []
    for seed in range(5):
        np.random.seed(seed)  # noqa: NPY002
        space = {"lr": {"log": [1e-5, 1e-1], "default": 1e-3}}
        settings = {"gamma": 0.99, "clip_param": 0.2}
        population, trials = _population("pb2", seed=seed, space=space, settings=settings)
        assert isinstance(population, Pb2)
        scores = dict.fromkeys(trials, 0.0)
        for interval in range(1, 13):
            for trial in trials:
                scores[trial] += 10 * (np.log10(trial.config["lr"]) + 5)
                _report(population, trial, 1000 * interval, scores[trial])
            order = sorted(trials, key=scores.__getitem__)
            clone, donor = order[0], order[-1]
            clone.config, _ = population._get_new_config(clone, donor)
            scores[clone] = scores[donor]
        chosen += [trial.config["lr"] for trial in trials]
    assert np.median(np.log10(chosen)) > -2.0, "random search would give -3"


def test_one_seed_fixes_what_is_explored() -> None:
    proposals = []
    for _ in range(2):
        population, trials = _population("pbt", seed=4)
        assert isinstance(population, Pbt)
        for n, trial in enumerate(trials):
            _report(population, trial, 1000, float(n))
        proposals.append([population._get_new_config(trials[0], trials[3])[0] for _ in range(5)])
    assert proposals[0] == proposals[1]


def test_the_first_trial_starts_from_the_preset() -> None:
    spec = make_spec("ppo", "cartpole", trials=3, seed=2)
    first, second, third = (starting_point(spec, index) for index in range(3))
    assert {name: first[name] for name in spec.space} == {
        name: spec.settings[name] for name in spec.space
    }
    assert second["lr"] != third["lr"]
    assert len({first["seed"], second["seed"], third["seed"]}) == 3
    assert starting_point(spec, 1) == second
