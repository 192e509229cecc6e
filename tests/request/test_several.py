"""Several environments in one request: what they share, each one's scale, and what is refused."""

from __future__ import annotations

import os
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rltune import catalog
from rltune.cli.parse import pairs
from rltune.engine.metric_names import NORMALIZED
from rltune.errors import BadInput
from rltune.policies.preset_file import preset_toml
from rltune.request import random_scores
from rltune.request.resolve import make_request, make_spec
from rltune.request.shares import arguments
from rltune.runs import commands
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec
from rltune.tasks import task_of

BOTH = "cartpole,acrobot"


def test_settings_space_and_budget_are_those_of_the_first_one() -> None:
    spec, first = make_spec("ppo", BOTH), make_spec("ppo", "cartpole")
    assert (spec.settings, spec.space, spec.points) == (first.settings, first.space, first.points)
    assert spec.budget.steps == 2 * first.budget.steps
    assert spec.budget.perturb_every == 2 * first.budget.perturb_every
    assert (spec.metric, spec.mode, spec.budget.target) == (NORMALIZED, "max", 1.0)
    assert spec.resources.batch == "off"
    assert [one.env_id for one in spec.singles] == ["CartPole-v1", "Acrobot-v1"]
    assert RunSpec.from_dict(spec.to_dict()) == spec
    report = first.settings["min_sample_timesteps_per_iteration"]
    assert task_of(spec).steps_per_report == 2 * report


def test_given_steps_are_those_of_all_environments() -> None:
    spec = make_spec("ppo", ["cartpole", "acrobot"], steps=50_000)
    assert (spec.budget.steps, spec.budget.perturb_every) == (50_000, 10_000)
    with pytest.raises(BadInput, match=r"less than one report of one trial, 4,000"):
        make_spec("ppo", BOTH, total_steps=3_000)


def test_the_scale_is_the_same_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    cartpole, acrobot = make_spec("ppo", BOTH, seed=7).environments
    assert (cartpole.threshold, acrobot.threshold) == (475.0, -100.0)
    assert cartpole.random.episodes == random_scores.PARTS * random_scores.EPISODES
    low, high = cartpole.random.ci95
    assert 15 < low < cartpole.random.mean < high < 30
    assert acrobot.random.mean == -500
    assert acrobot.random.episodes < cartpole.random.episodes, "its episodes are long"
    monkeypatch.setattr(random_scores, "_known", {})
    assert make_spec("dqn", BOTH).environments[0].random == cartpole.random
    assert cartpole.normalized(475) == 1
    assert cartpole.normalized(cartpole.random.mean) == 0
    assert acrobot.normalized(-80) == pytest.approx(1.05), "it is not clipped"


@pytest.mark.parametrize(
    ("algo", "env", "options", "told"),
    [
        ("ppo", "cartpole,acrobt,lunarlander", {}, r"Unknown environment 'acrobt'.*'acrobot'"),
        ("ppo", "cartpole,nothere,cartpol", {}, r"'nothere'(.|\n)*'cartpol'.*'cartpole'"),
        ("ppo", "cartpole,acrobot,CartPole-v1", {}, r"^cartpole: named more than once"),
        ("ppo", "cartpole,,acrobot", {}, r"write them as cartpole,acrobot"),
        ("ppo", [], {}, r"write them as cartpole,acrobot"),
        ("dqn", "cartpole,pendulum", {}, r"dqn cannot act in Pendulum-v1: .* Use sac or ppo"),
        ("sac", "pendulum,cartpole", {}, r"sac cannot act in CartPole-v1"),
        ("ppo", "cartpole,images:Clock", {}, r"cartpole \(vectors\), Clock \(images\)"),
        ("ppo", "cartpole,pendulum,authors:Bits", {}, r"^Bits has no threshold"),
        ("ppo", BOTH, {"batch": 4}, r"batch 4: .* do not train as a batch"),
        ("ppo", BOTH, {"metric": "episode_len_mean"}, r"another scale in each environment"),
        ("ppo", BOTH, {"mode": "min"}, r"mode min"),
        ("ppo", BOTH, {"env_copies": 8}, r"env_copies is of one environment"),
        ("ppo", BOTH, {"settings": {"num_env_runners": 2}}, r"num_env_runners: .* must be 0"),
        ("ppo", BOTH, {"env_args": {"gravity": 9}}, r"^env_args gravity: .* cartpole:gravity"),
        ("ppo", BOTH, {"env_args": {"pong:gravity": 9}}, r"^env_args pong:gravity"),
        ("ppo", BOTH, {"env_args": {"acrobot:gravity": 9}}, r"Acrobot-v1.*gravity"),
        ("ppo", BOTH, {"env_args": {"cartpole:max_episode_steps": 9}}, r"^cartpole with arguments"),
        ("ppo", BOTH, {"thresholds": {"acrobt": 1.0}}, r"thresholds acrobt: no environment"),
        ("ppo", BOTH, {"thresholds": {"acrobot": "many"}}, r"acrobot: must be a finite number"),
        ("ppo", BOTH, {"thresholds": {"acrobot": -500}}, r"-500 is not above the -500"),
        ("ppo", BOTH, {"job": "train"}, r"rltune train is of one environment"),
        ("ppo", BOTH, {"job": "train", "certify": True}, r"rltune certify is of one environment"),
        ("ppo", "cartpole", {"thresholds": {"cartpole": 9.0}}, r"thresholds are of several"),
        ("ppo", "cartpole", {"metric": NORMALIZED}, r"is of several environments"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    algo: str, env: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        make_request(algo, env, **options)


def test_arguments_secrets_and_thresholds_are_each_environments_own(tmp_path: Path) -> None:
    given = {
        "cartpole:sutton_barto_reward": True,
        "authors:Cruise:low": -0.2,
        "CartPole-v1:max_episode_steps": 300,
    }
    spec = make_spec(
        "ppo",
        "cartpole,authors:Cruise",
        env_args=given,
        thresholds={"authors:Cruise": 5, "cartpole": 0.5},
        storage=tmp_path,
    )
    cartpole, cruise = spec.environments
    assert dict(cartpole.env_args) == {"sutton_barto_reward": True, "max_episode_steps": 300}
    assert (cruise.name, dict(cruise.env_args)) == ("Cruise", {"low": -0.2})
    assert (cartpole.threshold, cruise.threshold) == (0.5, 5)
    assert spec.env_options.env_args == {}
    words = shlex.split(commands.environment(spec))
    assert words[0] == "cartpole,authors:Cruise"
    again = {
        option: pairs(option, words_of(words, option), "")
        for option in ("--env-arg", "--threshold")
    }
    same = make_spec("ppo", words[0], env_args=again["--env-arg"], thresholds=again["--threshold"])
    assert same.environments == spec.environments


def words_of(words: list[str], option: str) -> list[str]:
    return [after for word, after in pairwise(words) if word == option]


def test_the_best_preset_holds_the_steps_of_one_environment(tmp_path: Path) -> None:
    spec = make_spec("ppo", BOTH, trials=2)
    path = tmp_path / "best.toml"
    path.write_text(preset_toml(spec, spec.settings, None))
    again = make_spec("ppo", BOTH, preset=path)
    assert again.budget == spec.budget
    alone = make_spec("ppo", "cartpole", preset=path)
    shipped = make_spec("ppo", "cartpole").budget
    assert (alone.budget.steps, alone.budget.target) == (shipped.steps, shipped.target)


def test_a_run_is_read_as_that_of_one_of_its_environments(tmp_path: Path) -> None:
    spec = make_spec("ppo", BOTH, storage=tmp_path, name="both")
    folder = RunFolder.create(spec)
    with folder.releasing():
        alone = folder.alone(spec.environments[1])
        assert (alone.spec.env, alone.spec.goal.is_return) == ("acrobot", True)
        assert alone.best_policy == folder.best_policy / "acrobot"
        assert folder.spec == spec


def test_secrets_of_two_environments_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    infos = [catalog.environment(name) for name in ("cartpole", "acrobot")]
    given = {"cartpole:api_key": "first", "acrobot:api_key": "second"}
    for name in ("CARTPOLE", "ACROBOT"):
        monkeypatch.setenv(f"RLTUNE_SECRET_{name}_API_KEY", "")
    found = arguments(given, infos, ["cartpole", "acrobot"])
    kept = {name: os.environ[str(args["api_key"])[1:]] for name, args in found.items()}
    assert kept == {"cartpole": "first", "acrobot": "second"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "../../cartpole"}, "no folder of a checkpoint has such a name"),
        ({"name": ""}, "no folder"),
        ({"threshold": 23.0}, r"threshold 23 is not above .*, 23\.39"),
        ({"threshold": float("nan")}, "threshold nan is not above"),
        ({"name": "acrobot"}, "two have the same name: acrobot, acrobot"),
        ({"random": {"mean": "low", "ci95": [0, 1], "episodes": 3}}, "random.mean: expected a num"),
    ],
)
def test_a_run_folder_with_a_wrong_environment_is_refused(
    change: dict[str, Any], told: str
) -> None:
    values = make_spec("ppo", BOTH).to_dict()
    values["environments"][0] |= change
    with pytest.raises(BadInput, match=told):
        RunSpec.from_dict(values)


def test_processes_are_for_the_environments_that_can_have_them() -> None:
    asked = {
        "env_processes": 2,
        "simulator": "gymnasium",
        "settings": {"num_envs_per_env_runner": 4},
    }
    spec = make_spec("ppo", BOTH, **asked)
    assert [one.env_processes for one in spec.environments] == [1, 2]
    assert "cartpole: env_processes 2: gymnasium steps all 4 copies" in spec.stepping
    with pytest.raises(BadInput, match=r"env_processes 8: a trial has 4 copies"):
        make_spec("ppo", BOTH, **{**asked, "env_processes": 8})
