"""Names, presets and their checks, without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rltune import catalog, envs
from rltune.errors import BadInput
from rltune.settings import ALGORITHMS, algorithm
from rltune.space import Space

NAMES = [(algo, "default") for algo in ALGORITHMS] + catalog.preset_names()


def _preset(algo: str, env: str) -> catalog.Preset:
    spec = envs.EnvSpec("Any-v0", "Any-v0") if env == "default" else catalog.environment(env)
    return catalog.preset(algo, spec)


def test_the_presets_of_the_main_job_ship() -> None:
    shipped = set(catalog.preset_names())
    assert shipped >= {(algo, env) for algo in ("dqn", "ppo") for env in ("cartpole", "acrobot")}


@pytest.mark.parametrize(("algo", "env"), NAMES)
class TestEveryPreset:
    """The contract of a preset: a new file is tested by existing."""

    def test_has_a_value_for_every_setting(self, algo: str, env: str) -> None:
        assert _preset(algo, env).settings.keys() == algorithm(algo).settings.keys()

    def test_its_values_pass_their_own_checks(self, algo: str, env: str) -> None:
        preset = _preset(algo, env)
        assert algorithm(algo).problems(preset.settings) == {}
        assert preset.space.broken(preset.settings) == []

    def test_every_searched_setting_has_a_default_inside(self, algo: str, env: str) -> None:
        preset = _preset(algo, env)
        assert preset.space
        for name, parameter in preset.space.items():
            assert parameter.contains(preset.settings[name])

    def test_a_population_has_something_to_mutate(self, algo: str, env: str) -> None:
        preset = _preset(algo, env)
        assert algorithm(algo).mutable(preset.space)

    def test_a_thousand_draws_keep_domain_and_constraints(self, algo: str, env: str) -> None:
        preset = _preset(algo, env)
        rng = np.random.default_rng(0)
        for _ in range(1000):
            values = preset.space.sample(rng, preset.settings)
            assert preset.space.contains({**preset.settings, **values})
            moved = preset.space.perturb(values, rng, fixed=preset.settings)
            assert preset.space.contains({**preset.settings, **moved})

    def test_names_its_own_environment(self, algo: str, env: str) -> None:
        path = Path(envs.__file__).parents[1] / "presets" / algo / f"{env}.toml"
        text = path.read_text()
        assert env == "default" or f'env = "{env}"' in text


@pytest.mark.parametrize("name", envs.SPECS)
class TestEveryEnvironment:
    """The contract of an environment."""

    def test_short_name_and_id_are_the_same(self, name: str) -> None:
        assert catalog.environment(name) == catalog.environment(envs.SPECS[name].id)

    def test_agrees_with_gymnasium(self, name: str) -> None:
        spec = envs.SPECS[name]
        made = envs.make(name)
        assert made.spec is not None
        if spec.threshold_reason is None:
            assert made.spec.reward_threshold == spec.threshold
        else:
            assert made.spec.reward_threshold is None, "gymnasium has one of its own"
        assert made.spec.max_episode_steps == spec.max_episode_steps
        made.close()

    def test_steps_alone_and_as_a_vector(self, name: str) -> None:
        alone, vector = envs.make(name), envs.make_vec(name, 3)
        assert vector.single_observation_space == alone.observation_space
        first, again = vector.reset(seed=1)[0], vector.reset(seed=1)[0]
        np.testing.assert_array_equal(first, again)
        _, rewards, terminated, truncated, _ = vector.step(vector.action_space.sample())
        assert rewards.shape == terminated.shape == truncated.shape == (3,)
        alone.close()
        vector.close()


def test_an_index_observation_becomes_one_hot() -> None:
    env = envs.make("FrozenLake-v1")
    obs, _ = env.reset(seed=0)
    assert obs.shape == (16,)
    assert obs.sum() == 1
    env.close()


def test_later_files_go_over_earlier_ones(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        "[budget]\ntrials = 7\n[settings]\nlr = 1e-4\n"
        "[space]\ntau = { log = [0.01, 1.0], default = 0.5 }\n"
    )
    preset = catalog.preset("dqn", catalog.environment("cartpole"), str(mine))
    assert preset.budget.trials == 7
    assert preset.budget.steps == 80_000
    assert preset.settings["lr"] == 1e-4
    assert list(preset.space) == ["tau"]
    assert preset.sources["lr"] == str(mine)
    assert preset.sources["double_q"] == "presets/dqn/default.toml"


def test_a_setting_given_a_value_is_searched_no_more() -> None:
    preset = catalog.preset("dqn", catalog.environment("cartpole"))
    assert "lr" in preset.space
    fixed = catalog.override(preset, {"lr": 1e-3}, {"tau": {"log": [0.01, 1.0]}}, {"trials": 2})
    assert "lr" not in fixed.space
    assert "tau" in fixed.space
    assert fixed.settings["lr"] == 1e-3
    assert fixed.budget.trials == 2
    assert fixed.sources["lr"] == "--set"


def test_the_threshold_is_the_target_where_a_preset_names_none() -> None:
    preset = catalog.preset("dqn", catalog.environment("mountaincar"))
    assert preset.budget.target == -110.0


def test_structural_settings_are_never_mutated() -> None:
    algo = algorithm("ppo")
    names = ("lr", "fcnet_activation", "num_envs_per_env_runner")
    body = {"lr": {"log": [1e-4, 1e-2]}, "fcnet_activation": {"choice": ["relu", "tanh"]}}
    space = Space({name: catalog.parameter(algo, name, body[name]) for name in names[:2]})
    assert list(algo.mutable(space)) == ["lr"]


def test_a_newer_version_is_named() -> None:
    assert catalog.newer_version("CartPole-v0") == "CartPole-v1"
    assert catalog.newer_version("CartPole-v1") is None


def test_budget_numbers_are_checked() -> None:
    preset = catalog.preset("dqn", catalog.environment("cartpole"))
    with pytest.raises(BadInput, match="trials must be at least 1"):
        catalog.override(preset, {}, {}, {"trials": 0})
