"""Every algorithm, trained for a moment on the real thing."""

from __future__ import annotations

import math
import sys
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from environments import ALL
from quick import config, make, same, weights
from ray.tune.result import TRIAL_INFO

from rltune import algorithms, envs
from rltune.algorithms.env_runner import ArrayEnvRunner
from rltune.catalog.algorithms import ALGORITHMS
from rltune.runs.checkpoints import REPLAY_FILE

pytestmark = pytest.mark.usefixtures("ray_session")

#: Mutated together at the exploit of the test, by algorithm.
MUTATIONS: dict[str, dict[str, Any]] = {
    "ppo": {
        "lr": 7e-4,
        "gamma": 0.91,
        "lambda_": 0.7,
        "clip_param": 0.11,
        "entropy_coeff": 0.013,
        "num_epochs": 3,
        "minibatch_size": 64,
    },
    "dqn": {
        "lr": 7e-4,
        "gamma": 0.91,
        "train_batch_size": 128,
        "tau": 0.5,
        "target_network_update_freq": 77,
        "training_intensity": 5.0,
        "final_epsilon": 0.2,
    },
    "sac": {
        "actor_lr": 7e-4,
        "critic_lr": 6e-4,
        "alpha_lr": 5e-4,
        "gamma": 0.91,
        "train_batch_size": 128,
        "tau": 0.02,
        "training_intensity": 32.0,
    },
}
#: An environment whose episodes are long.
LONG_ENV = {"ppo": "acrobot", "dqn": "acrobot", "sac": "pendulum"}


@pytest.mark.fault(56)
def test_durations_survive_a_clock_that_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    member, hours = make("ppo"), count(1e6, -1)
    monkeypatch.setattr(time, "time", lambda: 3_600.0 * next(hours))
    result = member.train()
    assert 0 < result["time_this_iter_s"] == result["time_total_s"] < 60


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_reports_the_metric_under_both_names(algo: str) -> None:
    member = make(algo)
    result = member.train()
    assert result["episode_reward_mean"] == result["env_runners"]["episode_return_mean"]
    assert result["env_steps"] == result["timesteps_total"] >= 500
    assert result["env_steps_this_iter"] == result["env_steps"]
    assert math.isfinite(result["learners"]["default_policy"]["total_loss"])
    member.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_metric_is_absent_until_an_episode_has_ended(algo: str) -> None:
    member = make(algo, env=LONG_ENV[algo], min_sample_timesteps_per_iteration=64)
    result = member.train()
    assert "episode_reward_mean" not in result
    member.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_one_seed_fixes_every_draw(algo: str) -> None:
    runs = []
    for _ in range(2):
        member = make(algo)
        results = [member.train() for _ in range(3)]
        runs.append(([r.get("episode_reward_mean") for r in results], weights(member)))
        member.cleanup()
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])
    other = make(algo, seed=6)
    assert not same(weights(other), runs[0][1])
    other.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_an_exploit_acts_from_the_first_update(algo: str, tmp_path: Path) -> None:
    donor = make(algo)
    for _ in range(2):
        donor.train()
    checkpoint = donor.save(str(tmp_path))
    given, reward = weights(donor), donor.window.returns
    wanted = MUTATIONS[algo]
    rates = {name: value for name, value in wanted.items() if name.split("_")[-1] == "lr"}
    clone = make(algo, seed=9, **dict.fromkeys(rates, 5e-3))
    for _ in range(4):  # ahead of its donor: RLlib alone would keep the clone's own weights
        clone.train()
    exploit = {"donor": "t01", "env_steps": clone.env_steps, "own_checkpoint": None}
    assert clone.reset(config(algo, seed=9, exploit=exploit, **wanted))
    clone.restore(checkpoint)

    assert same(weights(clone), given)
    assert list(clone.window.returns) == list(reward)
    used: set[float] = set()
    for optimizer in clone.learner._named_optimizers.values():
        optimizer.register_step_pre_hook(lambda opt, *_: used.add(opt.param_groups[0]["lr"]))
    result = clone.train()
    assert used == set(rates.values())
    assert {name: result["settings"][name] for name in wanted} == pytest.approx(wanted)
    donor.cleanup()
    clone.cleanup()


def test_the_losses_read_the_mutated_settings(tmp_path: Path) -> None:
    """What effective_settings reports is what the loss computes with, and not a copy beside it."""
    member = make("ppo", minibatch_size=256, num_epochs=1)
    member.train()
    rollouts = member.collect(32)
    before = member.learner._batch(rollouts)
    loss = _loss(member, before)
    assert member.reset(config("ppo", gamma=0.5, lambda_=0.1, clip_param=0.01, vf_loss_coeff=9.0))
    after = member.learner._batch(rollouts)
    assert not torch.allclose(before["value_targets"], after["value_targets"])
    assert _loss(member, before) != pytest.approx(loss, rel=1e-3)
    member.cleanup()


def _loss(member: Any, batch: dict[str, torch.Tensor]) -> float:
    learner = member.learner
    loss = learner.compute_loss_for_module(
        module_id="default_policy",
        config=learner.config,
        batch=batch,
        fwd_out=learner.net.forward_train(batch),
    )
    return float(loss.detach())


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_reset_without_a_restore_is_a_new_trial(algo: str) -> None:
    fresh = make(algo, seed=11)
    expected = weights(fresh), fresh.train()["episode_reward_mean"]
    used = make(algo)
    used.train()
    assert used.reset(config(algo, seed=11))
    assert used.env_steps == 0
    assert same(weights(used), expected[0])
    assert used.train()["episode_reward_mean"] == expected[1]
    fresh.cleanup()
    used.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_trial_keeps_its_clock(algo: str, tmp_path: Path) -> None:
    member = make(algo)
    member.train()
    steps = member.env_steps
    checkpoint = member.save(str(tmp_path))
    member.train()
    member.reset(config(algo))
    member.restore(checkpoint)
    assert member.env_steps == steps
    assert member.train()["env_steps"] > steps
    member.cleanup()


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_a_member_keeps_its_buffer(algo: str, tmp_path: Path) -> None:
    member = make(algo)
    member.train()
    held = len(member.replay)
    assert held >= 500
    checkpoint = member.save(str(tmp_path / "whole"))
    member.reset(config(algo))
    assert len(member.replay) == 0
    member.restore(checkpoint)
    assert len(member.replay) == held
    member.cleanup()


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_a_member_warms_up_again_without_a_buffer(algo: str, tmp_path: Path) -> None:
    changes = {"num_steps_sampled_before_learning_starts": 300, "save_buffer": False}
    member = make(algo, **changes)
    member.train()
    checkpoint = member.save(str(tmp_path))
    assert not (tmp_path / REPLAY_FILE).exists()
    member.reset(config(algo, **changes))
    member.restore(checkpoint)
    before, steps = weights(member), member.env_steps
    assert steps >= 500
    while len(member.replay) < 290:
        member.training_step()
        if len(member.replay) < 300:
            assert same(weights(member), before), "no update before the buffer has filled"
    while len(member.replay) < 320:
        member.training_step()
    assert not same(weights(member), before)
    assert member.env_steps == steps + len(member.replay), "epsilon continues from where it was"
    member.cleanup()


def test_what_rllib_forgets_is_restored(tmp_path: Path) -> None:
    """SAC's temperature and PPO's KL weight move with training; RLlib's checkpoints lack them."""
    for algo, changes in (("sac", {}), ("ppo", {"use_kl_loss": True, "kl_target": 1e-6})):
        member = make(algo, **changes)
        member.train()
        moved = {name: value.item() for name, value in member.learner.extra_state().items()}
        checkpoint = member.save(str(tmp_path / algo))
        member.reset(config(algo, **changes))
        (name,) = moved
        assert member.learner.extra_state()[name].item() != moved[name]
        member.restore(checkpoint)
        assert member.learner.extra_state()[name].item() == moved[name]
        member.cleanup()


def test_epsilon_falls_as_the_settings_say() -> None:
    member = make("dqn", initial_epsilon=0.8, final_epsilon=0.1, epsilon_timesteps=1000)
    schedule = member.env_runner.module.epsilon_schedule
    for steps, expected in ((0, 0.8), (500, 0.45), (1000, 0.1), (9000, 0.1)):
        schedule.update(steps)
        assert float(schedule.get_current_value()) == pytest.approx(expected)
    obs = torch.zeros(2000, 4, device=member.learner.device)
    best = member.learner.net.compute_q_values({"obs": obs[:1]})["qf_preds"].argmax().item()
    member.env_runner.act(obs, 0)
    actions, _ = member.env_runner.act(obs, 9000)
    assert (actions != best).mean() == pytest.approx(0.05, abs=0.02)
    member.cleanup()


def test_the_target_network_follows_at_its_interval() -> None:
    member = make("dqn", target_network_update_freq=10_000_000, tau=1.0)
    net = member.learner.net
    frozen = {name: w.clone() for name, w in net._target_encoder.state_dict().items()}
    member.train()
    assert same(frozen, net._target_encoder.state_dict())
    assert not same(frozen, net.encoder.state_dict())
    member.cleanup()


#: Settings with which a few dozen steps are enough for updates.
BRIEF: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs_per_env_runner": 2, "train_batch_size": 64, "minibatch_size": 32},
    "dqn": {"num_steps_sampled_before_learning_starts": 32, "train_batch_size": 16},
    "sac": {"num_steps_sampled_before_learning_starts": 48, "train_batch_size": 16},
}


@pytest.mark.parametrize("env", ALL)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_its_preset_trains_wherever_its_actions_fit(algo: str, env: str) -> None:
    made = envs.make(env)
    kind = type(made.action_space).__name__.lower()
    made.close()
    if kind not in ALGORITHMS[algo].actions:
        return  # refused before a sweep starts: test_faults.py, number 40
    member = make(algo, env=env, min_sample_timesteps_per_iteration=64, **BRIEF[algo])
    before = weights(member)
    result = member.train()
    assert result["env_steps"] >= 64
    assert not same(before, weights(member))
    member.cleanup()


def test_epsilon_without_its_end_is_refused() -> None:
    """RLlib's own schedule would act."""
    with pytest.raises(ValueError, match="initial_epsilon and epsilon_timesteps act with final"):
        algorithms.DQN.get_default_config().update_from_dict({"initial_epsilon": 0.3}).validate()
    algorithms.DQN.get_default_config().validate()


def test_copies_of_other_runners_have_seeds_of_their_own() -> None:
    """RLlib seeds each runner with the next number, and its copies with those that follow."""
    made = SimpleNamespace(num_envs_per_env_runner=4)
    runners = [SimpleNamespace(worker_index=n, _seed=100 + n, config=made) for n in (1, 2, 3)]
    first = [ArrayEnvRunner._env_seed.fget(runner) for runner in runners]
    assert [seed + copy for seed in first for copy in range(4)] == list(range(101, 113))


@pytest.mark.slow
def test_remote_runners_ship_the_same_arrays() -> None:
    for algo in ALGORITHMS:
        member = make(algo, num_env_runners=1)
        result = member.train()
        assert result["env_steps"] >= 500
        assert math.isfinite(result["learners"]["default_policy"]["total_loss"])
        member.cleanup()


def test_a_trial_computes_with_the_requested_threads() -> None:
    before = torch.get_num_threads()
    for threads, expected in ((1, 1), (None, 2)):
        make("ppo", num_cpus_for_main_process=2, threads=threads).cleanup()
        assert torch.get_num_threads() == expected
    torch.set_num_threads(before)


def test_training_leaves_the_float_mode_of_its_process_as_it_was() -> None:
    member = make("ppo")
    member.train()
    assert sys.float_info.min / 2 > 0.0, "denormal numbers exist outside of training"
    member.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_requested_memory_is_set_aside(algo: str) -> None:
    asked = {**config(algo), "memory_per_trial": 3 << 30, "num_env_runners": 1}
    del asked[TRIAL_INFO]  # Tune asks before there is a trial
    cls = getattr(algorithms, ALGORITHMS[algo].class_name)
    first, *others = cls.default_resource_request(asked).bundles
    assert first["memory"] == 3 << 30
    assert all("memory" not in bundle for bundle in others)
    del asked["memory_per_trial"]
    assert "memory" not in cls.default_resource_request(asked).bundles[0]


# Copies reset in the step that ends an episode, or (vectorised CartPole) in the one after it.
@pytest.mark.parametrize(("env", "copies"), [("cartpole", 8), ("cartpole", 1), ("pendulum", 2)])
@torch.no_grad()
def test_the_values_that_follow_are_those_of_the_next_observations(env: str, copies: int) -> None:
    member = make("ppo", env=env, num_envs_per_env_runner=copies)
    (rollout,) = member.collect(250)
    values, following = member.learner._values(rollout)
    for found, obs in ((values, rollout.obs), (following, rollout.next_obs)):
        flat = torch.as_tensor(obs.reshape(-1, *obs.shape[2:])).to(member.learner.device)
        wanted = member.learner.net.compute_values({"obs": flat}).cpu().numpy()
        assert found.shape == rollout.rewards.shape
        np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-4, atol=1e-5)
    assert (rollout.terminated | rollout.truncated)[:-1].any()
    member.cleanup()
