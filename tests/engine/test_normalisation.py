"""Normalisation: its statistics are numpy's, and go wherever the weights go."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from quick import ENV, config, exploit, make, same, weights

from rltune import algorithms
from rltune.algorithms.policy import load_policy
from rltune.catalog.algorithms import ALGORITHMS
from rltune.engine.normalisation import RewardScale, RunningMoments, as_numbers
from rltune.engine.replay_buffer import Layout, ReplayBuffer
from rltune.engine.rollout import Rollout
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("ray_session")

FILTER = {"observation_filter": "MeanStdFilter"}


def _moments(member: Any) -> RunningMoments:
    """A copy of the filter's statistics, on the CPU."""
    found: RunningMoments = copy.deepcopy(member.learner.net.observation_filter)
    return found.cpu()


def _watch(member: Any) -> list[np.ndarray]:
    """The observations that a member acts on from now on, as its rollouts hold them."""
    seen: list[np.ndarray] = []
    collect = member.collect

    def look(num_steps: int) -> list[Rollout]:
        rollouts: list[Rollout] = collect(num_steps)
        seen.extend(rollout.obs[rollout.valid] for rollout in rollouts)
        return rollouts

    member.collect = look
    return seen


@pytest.mark.parametrize("parts", [(1,), (1, 1, 5), (100, 3, 900)])
def test_moments_agree_with_numpy_for_any_split(parts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(50.0, 3.0, (sum(parts), 2)).astype(np.float32)
    moments = RunningMoments((2,))
    for part in np.split(rows, np.cumsum(parts)[:-1]):
        moments.update(torch.from_numpy(part))
    assert int(moments.count) == len(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(0, dtype=float), rtol=1e-5)
    np.testing.assert_allclose(moments.var, rows.var(0, dtype=float), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_member_scales_by_its_own_statistics(algo: str) -> None:
    member = make(algo, **FILTER)
    seen = _watch(member)
    member.train()
    member.train()
    rows, moments = np.concatenate(seen), _moments(member)
    assert int(moments.count) == len(rows) == member.env_steps
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(moments.var, rows.var(0), rtol=1e-3)
    scaled = moments(torch.from_numpy(rows).float())
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-3)
    assert not any(p.requires_grad for p in moments.parameters()), "statistics are not trained"
    member.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_statistics_are_kept_by_a_restore_and_taken_by_a_clone(algo: str, tmp_path: Path) -> None:
    more = {"normalize_rewards": True} if algo == "ppo" else {}
    donor = make(algo, trial="t02", **FILTER, **more)
    donor.train()
    donor.save(str(tmp_path))
    clone = make(algo, trial="t01", seed=9, **FILTER, **more)
    clone.train()
    assert not same(weights(clone), weights(donor))
    changes = {**FILTER, **more, "exploit": exploit(donor, 1_234)}
    clone.reset(config(algo, trial="t01", seed=9, **changes))
    clone.restore(str(tmp_path))
    assert any("filter.var" in name for name in weights(clone))
    assert (algo != "ppo") or any("reward_scale.var" in name for name in weights(clone))
    assert same(weights(clone), weights(donor))
    settings = clone.train()["restored"]["effective"]
    assert settings["observation_filter"] == "MeanStdFilter"
    assert int(_moments(clone).count) > int(_moments(donor).count)
    donor.cleanup()
    clone.cleanup()


def test_remote_runners_use_the_learners_filter() -> None:
    member = make("ppo", env="pendulum", num_env_runners=1, **FILTER, **{"train_batch_size": 400})
    seen = _watch(member)
    member.train()
    member.train()
    rows, moments = np.concatenate(seen), _moments(member)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-3, atol=1e-5)
    before = {name: value.clone() for name, value in moments.state_dict().items()}
    member.collect(2)
    (theirs,) = member.env_runner_group.foreach_env_runner(
        lambda runner: runner.module.observation_filter.state_dict(), local_env_runner=False
    )
    assert same(before, theirs)
    member.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_evaluation_scales_as_training_did(algo: str, tmp_path: Path) -> None:
    member = make(algo, **FILTER)
    member.train()
    checkpoint = tmp_path / "checkpoint"
    member.save(str(checkpoint))
    spec = make_spec(algo, ENV[algo], storage=tmp_path)
    policy = load_policy(spec, RunFolder(tmp_path), checkpoint)
    assert same(policy.net.observation_filter.state_dict(), _moments(member).state_dict())
    mean, deviation = _moments(member).mean.numpy(), _moments(member).var.sqrt().numpy()
    obs = mean + deviation * np.random.default_rng(0).normal(size=(50, len(mean)))
    acted = policy.act(obs.astype(np.float32))
    policy.net.observation_filter = None
    np.testing.assert_allclose(
        policy.act(((obs - mean) / deviation).astype(np.float32)), acted, atol=1e-3
    )
    assert not np.allclose(policy.act(obs.astype(np.float32)), acted, atol=1e-3)
    member.cleanup()


# Rewards -----------------------------------------------------------------------------------------


def _rollout(rewards: np.ndarray, ends: np.ndarray, continues: bool) -> Rollout:
    zeros, valid = np.zeros((*rewards.shape, 1)), np.ones(rewards.shape, bool)
    cut = np.zeros(rewards.shape, bool)
    return Rollout(zeros, zeros, zeros, rewards, ends, cut, valid, continues=continues)


def test_rewards_are_scaled_by_the_spread_of_their_discounted_sum() -> None:
    rng = np.random.default_rng(1)
    rewards = rng.normal(3.0, 20.0, (60, 2)).astype(np.float32)
    ends = rng.random(rewards.shape) < 0.1
    returns = np.zeros(rewards.shape)
    for i in range(rewards.shape[1]):
        running = 0.0
        for t in range(len(rewards)):
            running = returns[t, i] = 0.9 * running + rewards[t, i]
            if ends[t, i]:
                running = 0.0
    scale = RewardScale()
    got = [
        scale.scaled([rewards[part]], [_rollout(rewards[part], ends[part], part.start > 0)], 0.9)[0]
        for part in (slice(0, 25), slice(25, 60))
    ]
    assert float(scale.var) == pytest.approx(returns.var(), rel=1e-4)
    wanted = np.clip(rewards[25:] / returns.std(), -10, 10)
    np.testing.assert_allclose(got[1], wanted, rtol=1e-4)
    # Where the environments start again, so does the sum.
    again = RewardScale()
    for _ in range(2):
        again.scaled([rewards[:1]], [_rollout(rewards[:1], ends[:1], False)], 0.9)
    assert float(again.mean) == pytest.approx(rewards[0].mean(), rel=1e-5)


def test_the_score_stays_the_raw_one() -> None:
    """Pendulum's return is below -100 whatever the policy; its scaled return is not."""
    member = make("ppo", env="pendulum", normalize_rewards=True, train_batch_size=400)
    learned: list[np.ndarray] = []
    rewards = member.learner._rewards
    member.learner._rewards = lambda rollouts: learned.extend(rewards(rollouts)) or learned[-1:]
    score = [member.train() for _ in range(4)][-1]["episode_reward_mean"]
    assert score < -100
    assert member.effective_settings()["normalize_rewards"] is True
    scaled = np.concatenate(learned[1:])
    assert np.abs(scaled).max() < 2.0
    member.cleanup()


def test_a_buffer_keeps_raw_rewards_and_sums_the_clipped_ones() -> None:
    space = gym.spaces.Box(-1, 1, (1,))
    buffer = ReplayBuffer(Layout(space, gym.spaces.Discrete(2), 10), seed=0)
    rewards = np.array([[5.0], [-7.0], [9.0]], np.float32)
    rollout = _rollout(rewards, np.zeros((3, 1), bool), False)
    rollout.actions = np.zeros((3, 1), int)
    buffer.add([rollout])
    assert set(buffer.sample(50)["rewards"]) == {5.0, -7.0, 9.0}
    assert set(buffer.sample(50, clip=True)["rewards"]) == {1.0, -1.0}
    assert set(buffer.sample(50, n_step=3, gamma=0.5, clip=True)["rewards"]) == {0.75, -0.5, 1.0}


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_rllibs_own_engine_refuses_it(algo: str) -> None:
    wanted = {"clip_rewards": True, "normalize_rewards": True} if algo == "ppo" else FILTER
    stock = {"env": ENV[algo], "evaluation_interval": 1_000, **wanted}
    asked = getattr(algorithms, algo.upper()).get_default_config().update_from_dict(stock)
    with pytest.raises(
        ValueError, match=f"^{', '.join(wanted)}: .* does not do evaluation_interval"
    ):
        asked.validate()


def test_images_are_read_as_numbers_from_0_to_1() -> None:
    values, vector = torch.arange(256, dtype=torch.uint8), torch.tensor([-3.0, 400.0])
    image, table = (SimpleNamespace(divisor=divisor) for divisor in (255.0, 1.0))
    assert torch.equal(as_numbers(image, values), torch.arange(256) / 255.0)
    assert torch.equal(as_numbers(table, values), torch.arange(256).float())
    assert torch.equal(as_numbers(table, vector), torch.tensor([-3.0, 400.0]))
    assert torch.equal(values, torch.arange(256, dtype=torch.uint8)), "a buffer's are left alone"
    assert torch.equal(vector, torch.tensor([-3.0, 400.0]))
