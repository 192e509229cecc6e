"""Episodes of several policies at once are those that each policy plays alone."""

from __future__ import annotations

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from trained import trained

from rltune import envs
from rltune.algorithms.policy import Policy, load_policy
from rltune.policies import scoring
from rltune.policies.episodes import play
from rltune.policies.lockstep import acting, alike, play_in_lockstep
from rltune.runs.folder import BEST, RunFolder

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module", params=["ppo", "dqn"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    settings = {"observation_filter": "MeanStdFilter"} if request.param == "ppo" else {}
    return trained(tmp_path_factory.mktemp("runs"), request.param, "cartpole", **settings)


def _several(run: RunFolder) -> list[Policy]:
    """The run's policy, and others with other numbers."""
    first = load_policy(run.spec, run, run.path / BEST)
    rng = torch.Generator().manual_seed(0)
    made = [first]
    for _ in range(4):
        other = copy.deepcopy(first)
        with torch.no_grad():
            for weight in other.net.parameters():
                weight += 0.2 * torch.randn(weight.shape, generator=rng)
        made.append(other)
    return made


def test_each_policy_plays_as_it_does_alone(run: RunFolder) -> None:
    policies = _several(run)
    seeds = [[(2 << 30) + 100 * n + i for i in range(6)] for n in range(len(policies))]
    alone = [play(one, run.spec, own) for one, own in zip(policies, seeds, strict=True)]
    assert play_in_lockstep(policies, run.spec, seeds) == alone
    assert len({value for values in alone for value in values}) > 10

    obs = np.random.default_rng(0).normal(size=(len(policies), 50, 4)).astype(np.float32)
    expected = np.stack([one.act(each) for one, each in zip(policies, obs, strict=True)])
    assert (acting(policies)(obs) == expected).all()


def test_parts_of_other_sizes_are_scored_together(run: RunFolder) -> None:
    best = run.path / BEST
    (found,) = scoring.scores(run, [(best, range(47))])
    assert list(found.returns) == list(range(47))
    policy = load_policy(run.spec, run, best)
    assert list(found.returns.values()) == play(policy, run.spec, range(47))


def test_other_networks_are_not_alike(run: RunFolder) -> None:
    first, *others = _several(run)
    assert alike([first, *others])
    wider = copy.deepcopy(first)
    wider.net.add_module("more", torch.nn.Linear(4, 4))
    assert not alike([first, wider])


def test_only_gymnasiums_own_environment_is_stepped_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert envs.in_lockstep("cartpole")
    assert envs.in_lockstep("CartPole-v1")
    assert not envs.in_lockstep("CartPole-v1", frame_stack=2)
    assert not envs.in_lockstep("acrobot")
    assert not envs.in_lockstep("mine:CartPole-v1")
    mine = gym.envs.registration.EnvSpec("CartPole-v1", entry_point="mine:CartPole")
    monkeypatch.setitem(gym.registry, "CartPole-v1", mine)
    assert not envs.in_lockstep("cartpole")
