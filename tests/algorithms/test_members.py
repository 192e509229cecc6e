"""Every algorithm, trained for a moment on the real thing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from rltune import algorithms, catalog, envs
from rltune.algorithms.runner import to_env_actions
from rltune.settings import ALGORITHMS

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
}


def _config(algo: str, env: str = "cartpole", **changes: Any) -> dict[str, Any]:
    settings = dict(catalog.preset(algo, catalog.environment(env)).settings)
    quick = {
        "min_sample_timesteps_per_iteration": 500,
        "num_steps_sampled_before_learning_starts": 100,
    }
    return {
        **settings,
        **{key: value for key, value in quick.items() if key in settings},
        "env": env,
        "seed": 5,
        **changes,
    }


def _make(algo: str, **changes: Any) -> Any:
    return getattr(algorithms, ALGORITHMS[algo].class_name)(config=_config(algo, **changes))


def _weights(member: Any) -> dict[str, torch.Tensor]:
    return {name: w.clone() for name, w in member.learner.net.state_dict().items()}


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_reports_the_metric_under_both_names(algo: str) -> None:
    member = _make(algo)
    result = member.train()
    assert result["episode_reward_mean"] == result["env_runners"]["episode_return_mean"]
    assert result["env_steps"] == result["timesteps_total"] >= 500
    assert result["env_steps_this_iter"] == result["env_steps"]
    assert math.isfinite(result["learners"]["default_policy"]["total_loss"])
    member.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_metric_is_absent_until_an_episode_has_ended(algo: str) -> None:
    member = _make(algo, env="acrobot", min_sample_timesteps_per_iteration=64)
    result = member.train()
    assert "episode_reward_mean" not in result
    member.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_one_seed_fixes_every_draw(algo: str) -> None:
    runs = []
    for _ in range(2):
        member = _make(algo)
        results = [member.train() for _ in range(3)]
        runs.append(([r.get("episode_reward_mean") for r in results], _weights(member)))
        member.cleanup()
    assert runs[0][0] == runs[1][0]
    assert _same(runs[0][1], runs[1][1])
    other = _make(algo, seed=6)
    assert not _same(_weights(other), runs[0][1])
    other.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_an_exploit_acts_from_the_first_update(algo: str, tmp_path: Path) -> None:
    donor = _make(algo)
    for _ in range(2):
        donor.train()
    checkpoint = donor.save(str(tmp_path))
    weights, reward = _weights(donor), donor._returns
    clone = _make(algo, lr=5e-3, seed=9)
    for _ in range(4):  # ahead of its donor: RLlib alone would keep the clone's own weights
        clone.train()
    wanted = MUTATIONS[algo]
    assert clone.reset(_config(algo, seed=9, env_steps_before=clone.env_steps, **wanted))
    clone.restore(checkpoint)

    assert _same(_weights(clone), weights)
    assert list(clone._returns) == list(reward)
    used: list[float] = []
    (optimizer,) = clone.learner._named_optimizers.values()
    optimizer.register_step_pre_hook(lambda opt, *_: used.append(opt.param_groups[0]["lr"]))
    result = clone.train()
    assert used
    assert set(used) == {wanted["lr"]}
    assert {name: result["settings"][name] for name in wanted} == pytest.approx(wanted)
    donor.cleanup()
    clone.cleanup()


def test_the_losses_read_the_mutated_settings(tmp_path: Path) -> None:
    """What effective_settings reports is what the loss computes with, and not a copy beside it."""
    member = _make("ppo", minibatch_size=256, num_epochs=1)
    member.train()
    rollouts = member.collect(32)
    before = member.learner._batch(rollouts)
    loss = _loss(member, before)
    assert member.reset(_config("ppo", gamma=0.5, lambda_=0.1, clip_param=0.01, vf_loss_coeff=9.0))
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
    fresh = _make(algo, seed=11)
    expected = _weights(fresh), fresh.train()["episode_reward_mean"]
    used = _make(algo)
    used.train()
    assert used.reset(_config(algo, seed=11))
    assert used.env_steps == 0
    assert _same(_weights(used), expected[0])
    assert used.train()["episode_reward_mean"] == expected[1]
    fresh.cleanup()
    used.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_trial_keeps_its_clock(algo: str, tmp_path: Path) -> None:
    member = _make(algo)
    member.train()
    steps = member.env_steps
    checkpoint = member.save(str(tmp_path))
    member.train()
    member.reset(_config(algo))
    member.restore(checkpoint)
    assert member.env_steps == steps
    assert member.train()["env_steps"] > steps
    member.cleanup()


def test_dqn_takes_its_buffer_along(tmp_path: Path) -> None:
    member = _make("dqn")
    member.train()
    held = len(member.replay)
    assert held >= 500
    checkpoint = member.save(str(tmp_path / "whole"))
    member.reset(_config("dqn"))
    assert len(member.replay) == 0
    member.restore(checkpoint)
    assert len(member.replay) == held


def test_dqn_warms_up_again_without_a_buffer(tmp_path: Path) -> None:
    member = _make("dqn", num_steps_sampled_before_learning_starts=300)
    member.train()
    checkpoint = member.save(str(tmp_path))
    (tmp_path / member.REPLAY_FILE).unlink()
    member.reset(_config("dqn", num_steps_sampled_before_learning_starts=300))
    member.restore(checkpoint)
    before = _weights(member)
    member.training_step()
    assert len(member.replay) < 300
    assert _same(_weights(member), before), "no update before the buffer has filled"
    member.cleanup()


def test_epsilon_falls_as_the_settings_say() -> None:
    member = _make("dqn", initial_epsilon=0.8, final_epsilon=0.1, epsilon_timesteps=1000)
    schedule = member.env_runner.module.epsilon_schedule
    for steps, expected in ((0, 0.8), (500, 0.45), (1000, 0.1), (9000, 0.1)):
        schedule.update(steps)
        assert float(schedule.get_current_value()) == pytest.approx(expected)
    obs = torch.zeros(2000, 4)
    best = member.learner.net.compute_q_values({"obs": obs[:1]})["qf_preds"].argmax().item()
    member.env_runner.act(obs, 0)
    actions, _ = member.env_runner.act(obs, 9000)
    assert (actions != best).mean() == pytest.approx(0.05, abs=0.02)
    member.cleanup()


def test_the_target_network_follows_at_its_interval() -> None:
    member = _make("dqn", target_network_update_freq=10_000_000, tau=1.0)
    net = member.learner.net
    frozen = {name: w.clone() for name, w in net._target_encoder.state_dict().items()}
    member.train()
    assert _same(frozen, net._target_encoder.state_dict())
    assert not _same(frozen, net.encoder.state_dict())
    member.cleanup()


@pytest.mark.parametrize("env", envs.SPECS)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_trains_wherever_its_actions_fit(algo: str, env: str) -> None:
    made = envs.make(env)
    kind = type(made.action_space).__name__.lower()
    made.close()
    if kind not in ALGORITHMS[algo].actions:
        return  # refused before a sweep starts: test_faults.py, number 40
    member = _make(algo, env=env, min_sample_timesteps_per_iteration=64)
    result = member.train()
    assert result["env_steps"] >= 64
    member.cleanup()


def test_continuous_actions_reach_both_bounds() -> None:
    low, high = np.array([[-2.0, 0.0], [2.0, 10.0]], dtype=np.float32)
    space = Box(low, high, dtype=np.float32)
    actions = np.array([[-5.0, 1.0], [0.0, 0.0], [1.0, 9.0]], dtype=np.float32)
    got = to_env_actions(actions, space)
    np.testing.assert_allclose(got, [[-2.0, 10.0], [0.0, 5.0], [2.0, 10.0]])
    assert got.dtype == np.float32


@pytest.mark.slow
def test_remote_runners_ship_the_same_arrays() -> None:
    member = _make("ppo", num_env_runners=1)
    result = member.train()
    assert result["env_steps"] >= 500
    assert math.isfinite(result["learners"]["default_policy"]["total_loss"])
    member.cleanup()


@pytest.mark.parametrize(
    ("algo", "changes", "message"),
    [
        ("dqn", {"n_step": 3}, "n_step=1"),
        ("ppo", {"num_learners": 1}, "num_learners"),
    ],
)
def test_what_the_engine_does_not_do_is_refused(
    algo: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _make(algo, **changes)
