"""Every attribute of RLlib's configs acts, falls back, changes nothing or is refused (85)."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import ROOT
from ray import tune
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from stock import stock_config
from test_losses import SETTINGS, Pair, _close, _stock_update

from rltune import algorithms
from rltune.algorithms.config_attributes import (
    ACTS,
    FALLBACK,
    MODEL_KEYS,
    NOTHING,
    REFUSED,
    Table,
)
from rltune.algorithms.config_changes import changed, refusals

pytestmark = pytest.mark.usefixtures("ray_session")

RLLIB = {"ppo": PPOConfig, "dqn": DQNConfig, "sac": SACConfig}
ENV = {"ppo": "CartPole-v1", "dqn": "CartPole-v1", "sac": "Pendulum-v1"}
#: Tests that see attributes act, beside the cases below.
SEEN = {
    "test_audit.py::test_ppo_runs_at_the_logged_settings": (
        "lr gamma lambda_ clip_param entropy_coeff vf_loss_coeff vf_clip_param num_epochs"
    ),
    "test_audit.py::test_dqn_runs_at_the_logged_settings": "n_step td_error_loss_fn grad_clip",
    "test_audit.py::test_sac_runs_at_the_logged_settings": "actor_lr critic_lr alpha_lr",
    "test_losses.py::test_gradients_are_clipped_as_in_rllib": "grad_clip grad_clip_by",
    "test_losses.py::test_the_kl_coefficient_changes_as_in_rllib": "kl_target",
    "test_losses.py::test_loss_gradients_and_update_are_rllibs": "noisy",
    "test_rl_trainable.py::test_one_seed_fixes_every_draw": "seed",
    "test_rl_trainable.py::test_epsilon_falls_as_the_settings_say": "epsilon",
    "test_rl_trainable.py::test_its_preset_trains_wherever_its_actions_fit": "env",
    "test_rl_trainable.py::test_remote_runners_ship_the_same_arrays": "num_env_runners",
    "test_normalisation.py::test_a_member_scales_by_its_own_statistics": "observation_filter",
    "test_normalisation.py::test_a_buffer_keeps_raw_rewards_and_sums_the_clipped_ones": (
        "clip_rewards"
    ),
    "test_replay_buffer.py::test_draws_follow_the_priorities_and_weights_correct_for_them": (
        "prioritized_replay prioritized_replay_alpha prioritized_replay_beta"
    ),
    "test_env_faults.py::test_an_environment_that_always_raises_is_given_up": "env_config",
    "test_fallback.py::test_it_trains_on_rllibs_own_engine": "policies _rl_module_spec",
    "test_gpu.py::test_a_population_shares_a_gpu": "num_gpus_per_learner",
}
#: What reaches the loss: algorithm, environment, the change. Updates beside RLlib's learner.
LOSSES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "use_critic": ("ppo", "cartpole", {"use_critic": False}),
    "use_kl_loss": ("ppo", "cartpole", {"use_kl_loss": True}),
    "kl_coeff": ("ppo", "cartpole", {"use_kl_loss": True, "kl_coeff": 3.0}),
    "clip_param": ("ppo", "cartpole", {"clip_param": 0.01}),
    "vf_clip_param": ("ppo", "cartpole", {"vf_clip_param": 0.1}),
    "vf_loss_coeff": ("ppo", "cartpole", {"vf_loss_coeff": 0.1, "vf_share_layers": True}),
    "vf_share_layers": ("ppo", "cartpole", {"vf_share_layers": True}),
    "entropy_coeff": ("ppo", "cartpole", {"entropy_coeff": 0.5}),
    "lr": ("ppo", "cartpole", {"lr": 5e-3}),
    "gamma": ("dqn", "cartpole", {"gamma": 0.5}),
    "double_q": ("dqn", "cartpole", {"double_q": True}),
    "dueling": ("dqn", "cartpole", {"dueling": True}),
    "num_atoms": ("dqn", "cartpole", {"num_atoms": 7}),
    "v_min": ("dqn", "cartpole", {"num_atoms": 7, "v_min": -3.0}),
    "v_max": ("dqn", "cartpole", {"num_atoms": 7, "v_max": 3.0}),
    "td_error_loss_fn": ("dqn", "cartpole", {"td_error_loss_fn": "mse"}),
    "actor_lr": ("sac", "pendulum", {"actor_lr": 5e-3}),
    "critic_lr": ("sac", "pendulum", {"critic_lr": 5e-3}),
    "alpha_lr": ("sac", "pendulum", {"alpha_lr": 5e-2}),
    "initial_alpha": ("sac", "pendulum", {"initial_alpha": 0.2}),
    "target_entropy": ("sac", "pendulum", {"target_entropy": 7.0}),
    "twin_q": ("sac", "pendulum", {"twin_q": False}),
}
#: What a loss needs beside the change, also where it has its default.
ALSO = {
    "kl_coeff": {"use_kl_loss": True},
    "vf_loss_coeff": {"vf_share_layers": True},
    "v_min": {"num_atoms": 7},
    "v_max": {"num_atoms": 7},
}
#: Attributes that members below are seen to act on.
COUNTED = {
    "ppo": (
        "train_batch_size _train_batch_size_per_learner minibatch_size num_epochs "
        "num_envs_per_env_runner metrics_num_episodes_for_smoothing min_time_s_per_iteration "
        "restart_failed_env_runners"
    ),
    "dqn": (
        "rollout_fragment_length training_intensity num_steps_sampled_before_learning_starts "
        "target_network_update_freq tau replay_buffer_config min_sample_timesteps_per_iteration "
        "sigma0"
    ),
    "model": "_model_config model",
}


def _config(algo: str, **changes: Any) -> Any:
    config = getattr(algorithms, algo.upper()).get_default_config()
    return config.update_from_dict({"env": ENV[algo], **changes})


def _attributes(algo: str) -> Table:
    """The treatment of every attribute of an algorithm's config."""
    attributes: Table = getattr(algorithms, algo.upper()).config_class.config_attributes
    return attributes


def _other(value: Any) -> Any:
    """Something that a value is not."""
    return not value if isinstance(value, bool) else "something else"


@pytest.mark.fault(85)
@pytest.mark.parametrize("algo", RLLIB)
def test_every_attribute_is_classified(algo: str) -> None:
    theirs = set(vars(RLLIB[algo]()))
    assert theirs - set(_attributes(algo)) == set(), "RLlib has gained these: give each its place"
    ours = {"prioritized_replay", "prioritized_replay_alpha", "prioritized_replay_beta"}
    assert set(_attributes(algo)) - theirs <= ours, "RLlib has lost these"
    assert set(MODEL_KEYS) == {field.name for field in dataclasses.fields(DefaultModelConfig)}


@pytest.mark.fault(85)
@pytest.mark.parametrize("algo", RLLIB)
def test_every_changed_attribute_is_treated_as_its_class_says(algo: str) -> None:
    for name, (treatment, why) in _attributes(algo).items():
        config = _config(algo)
        if name in ("model", "_model_config", "replay_buffer_config"):
            continue  # by their keys
        setattr(config, name, _other(getattr(config, name)))
        reasons, refused = config.find_fallback_reasons(), refusals(config)
        told = f"{name}: {treatment}, but {reasons} {refused}"
        if treatment == FALLBACK:
            assert any(reason == why or name in reason for reason in reasons), told
        elif treatment == REFUSED:
            assert refused == [f"{name}: {why}"], told
        else:
            assert refused == [], told
            own = {"policies", "n_step", "_rl_module_spec", "env"}
            assert name in own or reasons == [], told


@pytest.mark.fault(85)
def test_new_attributes_of_rllib_run_on_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    config = algorithms.PPO.get_default_config()
    monkeypatch.setattr(algorithms.PPO.config_class, "config_attributes", {})
    config.lambda_ = 0.5
    assert config.find_fallback_reasons() == ["lambda_=0.5"]


@pytest.mark.fault(85)
def test_every_acting_attribute_is_seen_to_act() -> None:
    tests = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    for place in SEEN:
        file, _, function = place.partition("::")
        assert f"def {function}(" in tests[file].read_text(), place
    seen = {name for names in (*SEEN.values(), *COUNTED.values()) for name in names.split()}
    acts = {
        name
        for algo in RLLIB
        for name, (treatment, _) in _attributes(algo).items()
        if treatment == ACTS
    }
    assert acts - seen - set(LOSSES) == set()


def _updated(algo: str, env: str, changes: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    """Weights and temperature after two updates, ours and RLlib's."""
    pair = Pair(algo, env, changes)
    batch = pair.batch(algo)
    for seed in (7, 8):  # at the second one target networks lag behind
        torch.manual_seed(seed)
        _stock_update(pair.stock, dict(batch))
        torch.manual_seed(seed)
        pair.ours.gradient_step(dict(batch))
    found = []
    for learner in (pair.ours, pair.stock):
        weights = {n: w.detach() for n, w in learner.module[DEFAULT_MODULE_ID].named_parameters()}
        if algo == "sac":
            weights["alpha"] = learner.curr_log_alpha[DEFAULT_MODULE_ID].detach()
        found.append(weights)
    return found


@pytest.mark.fault(85)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_follows_a_setting_as_rllibs_does(name: str) -> None:
    algo, env, changes = LOSSES[name]
    ours, stock = _updated(algo, env, changes)
    assert set(ours) == set(stock)
    for weight in ours:
        _close(ours[weight], stock[weight])
    plain, _ = _updated(algo, env, ALSO.get(name, {}))
    shapes = {n: w.shape for n, w in ours.items()} != {n: w.shape for n, w in plain.items()}
    assert shapes or any(not torch.equal(ours[n], plain[n]) for n in ours), "it makes a difference"


# Networks ----------------------------------------------------------------------------------------

NUMBERS, IMAGE = gym.spaces.Box(-1, 1, (4,)), gym.spaces.Box(0, 1, (12, 12, 3))
DISCRETE, BOX = gym.spaces.Discrete(2), gym.spaces.Box(-1, 1, (2,))
_INIT = {"kernel": ("normal_", {"std": 0.3}), "bias": ("constant_", {"val": 0.2})}


def _networks() -> dict[str, tuple[str, Any, Any, dict[str, Any]]]:
    """By the key that is shown: algorithm, spaces, model config."""
    conv = {"conv_filters": [[4, 3, 2], [8, 3, 2]]}
    head = {"head_fcnet_hiddens": [8]}
    cases: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
        "fcnet_hiddens": ("ppo", NUMBERS, DISCRETE, {"fcnet_hiddens": [8]}),
        "fcnet_activation": ("ppo", NUMBERS, DISCRETE, {"fcnet_activation": "relu"}),
        "fcnet_use_layernorm": ("ppo", NUMBERS, DISCRETE, {"fcnet_use_layernorm": True}),
        "conv_filters": ("ppo", IMAGE, DISCRETE, conv),
        "conv_activation": ("ppo", IMAGE, DISCRETE, {**conv, "conv_activation": "tanh"}),
        "head_fcnet_hiddens": ("ppo", NUMBERS, DISCRETE, head),
        "head_fcnet_activation": (
            "ppo",
            NUMBERS,
            DISCRETE,
            {**head, "head_fcnet_activation": "tanh"},
        ),
        "head_fcnet_use_layernorm": (
            "ppo",
            NUMBERS,
            DISCRETE,
            {**head, "head_fcnet_use_layernorm": True},
        ),
        "free_log_std": ("ppo", NUMBERS, BOX, {"free_log_std": True}),
        "log_std_clip_param": ("ppo", NUMBERS, BOX, {"log_std_clip_param": 0.01}),
        "vf_share_layers": ("ppo", NUMBERS, DISCRETE, {"vf_share_layers": True}),
        "dqn fcnet_use_layernorm": ("dqn", NUMBERS, DISCRETE, {"fcnet_use_layernorm": True}),
        "dqn head_fcnet_hiddens": ("dqn", NUMBERS, DISCRETE, head),
        "sac fcnet_use_layernorm": ("sac", NUMBERS, BOX, {"fcnet_use_layernorm": True}),
        "sac fcnet_kernel_initializer": (
            "sac",
            NUMBERS,
            BOX,
            {"fcnet_kernel_initializer": "normal_"},
        ),
    }
    for part, space, needed in (
        ("fcnet", NUMBERS, {}),
        ("conv", IMAGE, conv),
        ("head_fcnet", NUMBERS, head),
    ):
        for what, (initializer, options) in _INIT.items():
            key = f"{part}_{what}_initializer"
            if what == "kernel":
                cases[key] = ("ppo", space, DISCRETE, {**needed, key: initializer})
            # An initializer that needs an argument: the key and the one beside it.
            both = {**needed, key: initializer, f"{key}_kwargs": options}
            cases[f"{key}_kwargs"] = ("ppo", space, DISCRETE, both)
    return cases


def _outcome(config: Any, observations: Any, actions: Any) -> dict[str, torch.Tensor]:
    """Weights of a network, and what it says."""
    config.validate()
    learner = config.build_learner(spaces={DEFAULT_MODULE_ID: (observations, actions)})
    net = learner.module[DEFAULT_MODULE_ID]
    torch.manual_seed(3)
    batch = {"obs": 30 * torch.randn(5, *observations.shape)}
    with torch.no_grad():
        said = net.forward_inference(batch)
    found = {f"said {name}": value.float() for name, value in said.items()}
    return found | {name: w.detach() for name, w in net.state_dict().items()}


@pytest.mark.fault(85)
@pytest.mark.parametrize("case", _networks())
def test_a_network_is_the_one_that_rllib_builds(case: str) -> None:
    algo, observations, actions, model = _networks()[case]
    small = {"fcnet_hiddens": [16, 16], **model}
    base = {k: v for k, v in SETTINGS[algo].items() if "fcnet" not in k and "vf_share" not in k}
    own = _config(algo, **base, seed=0).rl_module(model_config=small)
    stock = stock_config(algo, "cartpole" if algo != "sac" else "pendulum", base, 0)
    stock.rl_module(model_config=small)
    ours, theirs = (_outcome(config, observations, actions) for config in (own, stock))
    assert own.fallback_reasons == []
    assert set(ours) == set(theirs)
    for name in ours:
        if ours[name].is_floating_point():
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


@pytest.mark.fault(85)
def test_every_key_of_a_network_is_seen_to_act() -> None:
    shown = {name.split()[-1] for name in _networks()}
    acts = {key for key, (treatment, _) in MODEL_KEYS.items() if treatment == ACTS}
    assert acts - shown == {"fcnet_bias_initializer", "conv_bias_initializer"} | {
        "head_fcnet_bias_initializer"
    }, "these are shown together with their arguments"


@pytest.mark.fault(85)
def test_keys_of_a_network_that_do_nothing_are_refused() -> None:
    config = _config("ppo").rl_module(model_config={"fcnet_hidden": [8], "max_seq_len": 5})
    (refused,) = refusals(config)
    assert refused.startswith("model_config: fcnet_hidden: no key of RLlib's DefaultModelConfig")
    assert "Did you mean 'fcnet_hiddens'?" in refused
    config = _config("ppo").rl_module(model_config=DefaultModelConfig(fusionnet_hiddens=[8]))
    assert refusals(config)[0].startswith("model_config: fusionnet_hiddens: ")
    config = _config("ppo").rl_module(model_config=DefaultModelConfig(use_lstm=True))
    assert config.find_fallback_reasons() == ["a recurrent network"]
    assert MODEL_KEYS["max_seq_len"][0] == NOTHING
    config = _config("ppo").training(model={"fcnet_hiddens": [8]})
    (refused,) = refusals(config)
    assert refused.startswith("model: fcnet_hiddens: ")
    assert "use rl_module(model_config=...)" in refused


# Members -----------------------------------------------------------------------------------------


def _updates(member: Any) -> list[int]:
    """Grows by the rows of each gradient step's batch."""
    rows: list[int] = []
    step = member.learner.gradient_step
    member.learner.gradient_step = lambda batch: (rows.append(len(batch["obs"])), step(batch))[1]
    return rows


@pytest.mark.fault(85)
@pytest.mark.parametrize("a_learner", [False, True])
def test_ppo_trains_on_the_requested_batch(a_learner: bool) -> None:
    batch: dict[str, Any] = {"train_batch_size": 96}
    if a_learner:  # the new API stack's own name, which wins
        batch = {"train_batch_size": 4_000, "train_batch_size_per_learner": 96}
    member = algorithms.PPO(
        config={
            "env": "CartPole-v1",
            **batch,
            "minibatch_size": 32,
            "num_epochs": 2,
            "num_envs_per_env_runner": 3,
            "metrics_num_episodes_for_smoothing": 2,
            "min_time_s_per_iteration": 0.2,
        }
    )
    rows = _updates(member)
    assert member.env_runner.env.num_envs == 3
    result = member.train()
    rounds = len(rows) // 6
    assert rows == [32] * 6 * rounds
    assert result["env_steps"] == 96 * rounds
    assert result["time_this_iter_s"] >= 0.2, "rounds are made until it has taken that long"
    assert result["settings"]["train_batch_size"] == 96
    assert result["settings"]["metrics_num_episodes_for_smoothing"] == 2
    member.stop()


@pytest.mark.fault(85)
def test_dqn_takes_the_requested_updates() -> None:
    member = algorithms.DQN(
        config={
            "env": "CartPole-v1",
            "train_batch_size_per_learner": 8,
            "rollout_fragment_length": 5,
            "training_intensity": 16.0,
            "num_steps_sampled_before_learning_starts": 50,
            "target_network_update_freq": 20,
            "tau": 1.0,
            "replay_buffer_config": {"type": "EpisodeReplayBuffer", "capacity": 777},
            "min_sample_timesteps_per_iteration": 150,
            "noisy": True,
            "sigma0": 0.25,
        }
    )
    rows = _updates(member)
    assert member.replay.layout.capacity == 777
    assert member.replay.priorities is None
    layer = next(m for m in member.learner.net.af.modules() if hasattr(m, "weight_sigma"))
    assert layer.weight_sigma[0, 0].item() == pytest.approx(0.25 / np.sqrt(layer.in_features))
    result = member.train()
    assert result["env_steps"] == 150
    late = 150 - 50 + 5  # the round that fills the warm-up counts
    assert rows == [8] * (late * 16 // 8)
    assert member.learner._target_updates == 6, "at 50, when updates begin, then every 20 steps"
    main, target = member.learner._main, member.learner._target
    member.learner.last_update_ts_by_mid[DEFAULT_MODULE_ID] = 0
    member.learner._update_target(150)
    assert all(torch.equal(a, b) for a, b in zip(main, target, strict=True)), "tau is 1"
    member.stop()


# Ways in -----------------------------------------------------------------------------------------


@pytest.mark.fault(85)
@pytest.mark.parametrize("algo", RLLIB)
@pytest.mark.parametrize("form", ["own", "rllib", "dict"])
def test_defaults_run_on_arrays_in_every_spelling(algo: str, form: str) -> None:
    """RLlib's own defaults are no change, also where rltune has others."""
    config = _config(algo)
    if form != "own":
        config = RLLIB[algo]().environment(ENV[algo]).env_runners(num_env_runners=0)
    member = getattr(algorithms, algo.upper())(
        config=config.to_dict() if form == "dict" else config
    )
    assert member.on_arrays, member.config.fallback_reasons
    again = member.config.copy(copy_frozen=False)
    again.validate()
    assert again.fallback_reasons == []
    rest = {"env", "num_env_runners", "env_runner_cls", "epsilon", "policies", "simple_optimizer"}
    assert set(changed(again)) <= rest
    if algo == "ppo":
        assert member.learner.net.model_config["vf_share_layers"] is False, "as in RLlib"
    member.stop()


@pytest.mark.fault(85)
def test_further_settings_of_a_buffer_run_on_rllibs_engine() -> None:
    config = _config("dqn").training(replay_buffer_config={"batch_length_T": 4})
    config.validate()
    assert config.fallback_reasons == ["replay_buffer_config batch_length_T"]


@pytest.mark.fault(85)
def test_a_changed_attribute_falls_back_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """The new stack's own names, through a config object of RLlib's own."""
    theirs = PPOConfig().environment("CartPole-v1")
    theirs.env_runners(num_env_runners=0, batch_mode="complete_episodes", explore=False)
    theirs.training(train_batch_size_per_learner=200, minibatch_size=100, num_epochs=1)
    with caplog.at_level(logging.WARNING, "rltune"):
        member = algorithms.PPO(config=theirs)
    assert not member.on_arrays
    for reason in ("explore=False", "batch_mode='complete_episodes'"):
        assert reason in caplog.text
    assert member.config.total_train_batch_size == 200
    member.stop()


@pytest.mark.fault(85)
def test_settings_that_neither_engine_supports_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gama: no setting of ppo. Did you mean 'gamma'\?"):
        algorithms.PPO(config={"env": "CartPole-v1", "gama": 0.9})
    with pytest.raises(ValueError, match="adam_epsilon: RLlib's new API stack"):
        algorithms.DQN(config={"env": "CartPole-v1", "adam_epsilon": 1e-4})
    with pytest.raises(ValueError, match="use_gae"):
        _config("ppo").training(use_gae=False).validate()


@pytest.mark.fault(85)
@pytest.mark.slow
def test_a_tuner_accepts_a_config_of_rllib(tmp_path: Path) -> None:
    space = PPOConfig().environment("CartPole-v1").env_runners(num_env_runners=0)
    space.training(train_batch_size_per_learner=64, minibatch_size=32, num_epochs=1)
    space.training(lr=tune.grid_search([1e-3, 1e-4]))
    run = tune.RunConfig(storage_path=str(tmp_path), stop={"training_iteration": 2}, verbose=0)
    results = tune.Tuner(algorithms.PPO, param_space=space, run_config=run).fit()
    assert not results.errors
    assert {result.metrics["settings"]["lr"] for result in results} == {1e-3, 1e-4}
    assert {result.metrics["env_steps"] for result in results} == {128}
