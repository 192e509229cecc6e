"""Names, presets and their checks, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltune import catalog, envs
from rltune.catalog.algorithms import ALGORITHMS, algorithm
from rltune.catalog.thresholds import threshold
from rltune.errors import BadInput
from rltune.request.resolve import landscape_request, make_request, make_spec
from rltune.space import Space

#: Presets of many environments, each with what is known of one of them.
GENERAL = {
    "default": envs.EnvInfo("Any-v0", "Any-v0"),
    "pixels": envs.EnvInfo("Any-v0", "Any-v0", images=True),
    **{spec.family: envs.EnvInfo("Any-v0", "Any-v0", spec.family) for spec in envs.INFOS.values()},
}
SHIPPED = Path(envs.__file__).parents[1] / "presets"
NAMES = sorted((algo, file.stem) for algo in ALGORITHMS for file in (SHIPPED / algo).glob("*.toml"))


def _preset(algo: str, env: str) -> catalog.Preset:
    return catalog.preset(algo, GENERAL.get(env) or catalog.environment(env))


def test_the_presets_of_the_main_job_ship() -> None:
    shipped = set(catalog.preset_names())
    assert shipped >= {(algo, env) for algo in ("dqn", "ppo") for env in ("cartpole", "acrobot")}
    assert not {env for _, env in shipped} & set(GENERAL)


@pytest.mark.parametrize(("algo", "env"), NAMES)
class TestEveryPreset:
    """The contract of a preset: a new file is tested by existing."""

    def test_learns_to_the_end_of_its_budget(self, algo: str, env: str) -> None:
        preset = _preset(algo, env)
        assert catalog.override(preset, {}, {}, {}).settings == preset.settings

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
        text = (SHIPPED / algo / f"{env}.toml").read_text()
        assert ("env = " in text) == (env not in GENERAL)
        assert env in GENERAL or f'env = "{env}"' in text


def test_later_files_override_earlier_ones(tmp_path: Path) -> None:
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


def test_a_file_fixes_what_an_earlier_one_searches(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    cartpole = catalog.environment("cartpole")
    shipped = catalog.preset("ppo", cartpole)
    file.write_text("[settings]\ngamma = 0.97\n")
    fixed = catalog.preset("ppo", cartpole, str(file))
    assert fixed.settings["gamma"] == 0.97
    assert set(shipped.space) - set(fixed.space) == {"gamma"}
    # What leaves the space otherwise keeps the value that it would have started from.
    file.write_text("[space]\nlr = { log = [1e-5, 1e-2] }\n")
    narrowed = catalog.preset("ppo", cartpole, str(file))
    assert set(narrowed.space) == {"lr"}
    assert narrowed.settings["gamma"] == shipped.settings["gamma"] == 0.98


def test_images_and_families_have_presets_of_their_own() -> None:
    atari = catalog.preset("ppo", catalog.environment("pong"))
    assert atari.settings["frame_stack"] == 4
    assert atari.settings["clip_rewards"] is True
    assert atari.sources["fcnet_hiddens"] == "presets/ppo/pixels.toml"
    assert atari.sources["entropy_coeff"] == "presets/ppo/atari.toml"
    assert catalog.preset("sac", catalog.environment("carracing")).settings["frame_stack"] == 4
    assert catalog.preset("sac", catalog.environment("halfcheetah")).settings["frame_stack"] == 1


def test_a_setting_given_a_value_is_no_longer_searched() -> None:
    preset = catalog.preset("dqn", catalog.environment("cartpole"))
    assert "lr" in preset.space
    fixed = catalog.override(preset, {"lr": 1e-3}, {"tau": {"log": [0.01, 1.0]}}, {"trials": 2})
    assert "lr" not in fixed.space
    assert "tau" in fixed.space
    assert fixed.settings["lr"] == 1e-3
    assert fixed.budget.trials == 2
    assert fixed.sources["lr"] == "settings"


def test_the_threshold_is_the_default_target() -> None:
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


def test_a_rate_that_is_spent_before_the_budget_is_refused() -> None:
    preset = catalog.preset("dqn", catalog.environment("lunarlander"))
    longer = {"steps": 2 * preset.budget.steps}
    with pytest.raises(BadInput, match="lr is 0 from step 150,000 on, and 300,000") as refused:
        catalog.override(preset, {}, {}, longer)
    stretched = [[0, 1e-3], [300_000, 0.0]]
    assert f"`settings={{'lr': {stretched}}}`" in str(refused.value)
    assert catalog.override(preset, {"lr": stretched}, {}, longer).settings["lr"] == stretched
    assert catalog.override(preset, {"lr": 1e-3}, {}, longer).settings["lr"] == 1e-3
    assert catalog.override(preset, {}, {}, {"steps": 50_000}).budget.steps == 50_000
    slower = [[0, 1e-3], [150_000, 1e-4]]  # never at zero: it continues to learn
    assert catalog.override(preset, {"lr": slower}, {}, longer).settings["lr"] == slower


@pytest.mark.fault(95)
def test_a_setting_is_fixed_or_searched_and_not_both() -> None:
    preset = catalog.preset("ppo", catalog.environment("cartpole"))
    with pytest.raises(BadInput, match=r"lr is in settings and in space: .* give one of them"):
        catalog.override(preset, {"lr": 1e-3}, {"lr": {"log": [1e-5, 1e-2]}}, {})


@pytest.mark.parametrize(
    ("settings", "space", "is_refused"),
    [
        ("lr = 0.05", "lr = { log = [1e-3, 1e-2] }", True),
        ("lr = 0.005", "lr = { log = [1e-3, 1e-2], default = 0.002 }", True),
        ("lr = 0.005", "lr = { log = [1e-3, 1e-2] }", False),
        ("lr = 0.005", "lr = { log = [1e-3, 1e-2], default = 0.005 }", False),
        ("lr = 0.010000000001", "lr = { log = [1e-3, 1e-2], default = 0.01 }", False),
        ("num_epochs = 7", "num_epochs = { choice = [5, 10], default = 10 }", True),
    ],
)
def test_a_file_that_fixes_a_setting_and_searches_it_elsewhere_is_refused(
    settings: str, space: str, is_refused: bool, tmp_path: Path
) -> None:
    """A file of best settings holds both, the range with the value as its default."""
    path = tmp_path / "mine.toml"
    path.write_text(f"[settings]\n{settings}\n[space]\n{space}\n")
    if is_refused:
        with pytest.raises(BadInput, match=r"mine.toml:2.* contradicts its range in \[space\]"):
            catalog.preset("ppo", catalog.environment("cartpole"), str(path))
    else:
        made = catalog.preset("ppo", catalog.environment("cartpole"), str(path))
        assert made.settings["lr"] == pytest.approx(float(settings.split()[-1]))


def test_a_file_with_more_points_than_trials_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    points = ", ".join(f"{{ lr = {n}e-3 }}" for n in (1, 2, 3))
    path.write_text(f"points = [{points}]\n[budget]\ntrials = 2\n")
    with pytest.raises(BadInput, match=r"mine.toml: points: 3 are given, and the sweep has 2"):
        make_spec("ppo", "cartpole", preset=path)
    assert len(make_spec("ppo", "cartpole", preset=path, trials=3).points) == 3
    assert make_request("ppo", "cartpole", job="train", preset=path)[0].points == ()


def test_a_file_of_another_environment_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "other.toml"
    path.write_text("env = 'acrobot'\n")
    catalog.preset("ppo", catalog.environment("acrobot"), str(path))
    assert caplog.text == ""
    catalog.preset("ppo", catalog.environment("cartpole"), str(path))
    assert f"{path} is a preset of acrobot, and is used for cartpole" in caplog.text


def test_the_steps_of_all_trials_are_no_limit_of_seeds(tmp_path: Path) -> None:
    """They are of a search: some of the seeds would not train, without a word."""
    path = tmp_path / "mine.toml"
    path.write_text("[budget]\nsteps = 6_000\ntotal_steps = 9_000\n")
    assert make_spec("ppo", "cartpole", preset=path).budget.total_steps == 9_000
    assert make_request("ppo", "cartpole", job="train", preset=path)[0].budget.total_steps is None
    asked: dict[str, Any] = {"trials": 4, "seeds": 2, "preset": path}
    assert landscape_request("ppo", "cartpole", **asked)[0].budget.total_steps is None


@pytest.mark.parametrize(
    ("algo", "settings", "space", "told"),
    [
        ("ppo", {"kl_coeff": 0.5}, {}, "kl_coeff has no effect with use_kl_loss = False"),
        ("ppo", {}, {"kl_target": {"log": [1e-3, 0.1]}}, "kl_target has no effect with use_kl"),
        ("ppo", {"use_kl_loss": True, "kl_coeff": 0.5}, {}, ""),
        ("ppo", {"kl_coeff": None}, {}, ""),
        (
            "dqn",
            {"prioritized_replay": False},
            {"prioritized_replay_alpha": {"uniform": [0, 1]}},
            "prioritized_replay_alpha has no effect with prioritized_replay = False",
        ),
        (
            "dqn",
            {},
            {
                "prioritized_replay": {"choice": [True, False]},
                "prioritized_replay_alpha": {"uniform": [0, 1]},
            },
            "",
        ),
        ("dqn", {"v_min": -5.0}, {}, "v_min has no effect with num_atoms = 1"),
        ("dqn", {"num_atoms": 11, "v_min": -5.0}, {}, ""),
        ("dqn", {"sigma0": 5.0}, {}, "sigma0 has no effect with noisy = False"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(
    algo: str, settings: dict[str, Any], space: dict[str, Any], told: str
) -> None:
    """Else it is searched for nothing. The preset's own value may be handed on."""
    preset = catalog.preset(algo, catalog.environment("cartpole"))
    given = {name: preset.settings[name] if v is None else v for name, v in settings.items()}
    if told:
        with pytest.raises(BadInput, match=told):
            catalog.override(preset, given, space, {})
    else:
        catalog.override(preset, given, space, {})


def test_a_file_that_searches_what_has_no_effect_is_refused(tmp_path: Path) -> None:
    path, cartpole = tmp_path / "mine.toml", catalog.environment("cartpole")
    space = "[space]\nkl_target = { log = [1e-3, 0.1] }\n"
    path.write_text(space)
    with pytest.raises(BadInput, match=r"mine.toml:2.* kl_target has no effect with use_kl_loss"):
        catalog.preset("ppo", cartpole, str(path))
    path.write_text(f"{space}[settings]\nuse_kl_loss = true\n")
    assert "kl_target" in catalog.preset("ppo", cartpole, str(path)).space


def test_what_is_minimised_has_no_target_of_a_preset() -> None:
    """Every return is under it: the first report would end the run."""
    assert make_spec("ppo", "cartpole").budget.target == 495
    assert make_spec("ppo", "cartpole", mode="min").budget.target is None
    assert make_spec("ppo", "cartpole", mode="min", target=9.0).budget.target == 9
    assert threshold(make_spec("ppo", "cartpole"), catalog.environment("cartpole")) == 475
    least = make_spec("ppo", "cartpole", mode="min")
    assert threshold(least, catalog.environment("cartpole")) is None
    train = make_request("ppo", "cartpole", job="train", mode="min")[0]
    assert train.budget.target is None


def test_what_is_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="steps is given twice, once in population"):
        make_spec("ppo", "cartpole", steps=50_000, population={"steps": 10_000})
    assert make_spec("ppo", "cartpole", population={"perturb_every": 10_000}) is not None


def test_envpool_steps_no_stacked_observations() -> None:
    """Also where some trials alone would stack them."""
    space = {"frame_stack": {"choice": [1, 4]}}
    assert make_spec("ppo", "acrobot").env_options.simulator == "envpool"
    asked = make_spec("ppo", "acrobot", scheduler="fifo", space=space)
    assert asked.env_options.simulator == "gymnasium"
    with pytest.raises(BadInput, match="EnvPool takes neither frame_stack nor"):
        make_spec("ppo", "acrobot", scheduler="fifo", space=space, simulator="envpool")
    with pytest.raises(ValueError, match="frame_stack must be 1"):
        envs.make_vec("acrobot", 4, frame_stack=2, simulator="envpool")
