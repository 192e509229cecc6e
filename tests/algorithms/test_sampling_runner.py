"""Actions are drawn as the policy has them, with noise that carries over where it is asked to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from quick import make

from rltune import algorithms
from rltune.errors import BadInput
from rltune.request.resolve import make_spec

pytestmark = pytest.mark.usefixtures("ray_session")

CORRELATION = 0.9
NOISE = {"noise_correlation": CORRELATION}


def _noise(member: Any, steps: int) -> np.ndarray:
    """The standard normal noise in a member's actions at one observation, shape (steps, N)."""
    runner = member.env_runner
    obs = torch.as_tensor(runner._obs).to(member.learner.device)
    drawn = []
    with torch.no_grad():
        for _ in range(steps):
            _, distribution, actions = runner.draw(obs)
            raw = torch.atanh(actions) if member.name == "sac" else actions
            drawn.append(((raw - distribution.loc) / distribution._dist.scale)[:, 0].cpu().numpy())
    return np.stack(drawn).astype(float)


@pytest.mark.parametrize("algo", ["ppo", "sac"])
@pytest.mark.parametrize("correlation", [0.0, CORRELATION])
def test_noise_is_standard_normal_and_as_correlated_as_asked(algo: str, correlation: float) -> None:
    member = make(algo, env="pendulum", noise_correlation=correlation, num_envs_per_env_runner=64)
    noise = _noise(member, 400)
    assert noise.mean() == pytest.approx(0.0, abs=0.06)
    assert noise.std() == pytest.approx(1.0, abs=0.06)
    for lag in (1, 5):
        found = (noise[lag:] * noise[:-lag]).mean() / noise.var()
        assert found == pytest.approx(correlation**lag, abs=0.06)
    assert abs(np.corrcoef(noise.T[:2])[0, 1]) < 0.5, "environments do not share their noise"
    member.cleanup()


def test_the_log_probabilities_are_those_of_the_actions() -> None:
    member = make("ppo", env="pendulum", **NOISE)
    (rollout,) = member.collect(50)
    kind = member.learner.net.get_exploration_action_dist_cls()
    distribution = kind.from_logits(torch.as_tensor(rollout.extras["action_dist_inputs"]))
    np.testing.assert_allclose(
        distribution.logp(torch.as_tensor(rollout.actions)),
        rollout.extras["action_logp"],
        rtol=1e-5,
    )
    member.cleanup()


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_a_rebuilt_environment_starts_with_fresh_noise(algo: str) -> None:
    member = make(algo, env="pendulum", **NOISE)
    member.train()
    assert member.effective_settings()["noise_correlation"] == CORRELATION
    assert member.env_runner._noise is not None
    member.env_runner.reseed(7)
    assert member.env_runner._noise is None
    member.cleanup()


def test_a_car_that_white_noise_leaves_in_the_valley_climbs_out() -> None:
    """The flag of MountainCarContinuous is seldom met by white noise, else in most episodes."""
    share = {}
    for correlation in (0.0, CORRELATION):
        member = make("ppo", env="mountaincar-continuous", noise_correlation=correlation)
        (rollout,) = member.collect(2_000)
        share[correlation] = np.mean([each > 0.0 for each in rollout.episode_returns])
        member.cleanup()
    assert share[0.0] < 0.25
    assert share[CORRELATION] > 0.75


@pytest.mark.parametrize("where", ["settings", "space"])
def test_it_is_refused_where_actions_are_discrete(where: str) -> None:
    asked = {"settings": NOISE, "space": {"noise_correlation": {"uniform": [0.0, 0.9]}}}
    with pytest.raises(BadInput, match=r"noise_correlation.*cartpole.*Discrete"):
        make_spec("ppo", "cartpole", **{where: asked[where]})


def test_it_is_refused_in_a_users_script() -> None:
    with pytest.raises(ValueError, match=r"noise_correlation.*cartpole.*Discrete"):
        make("ppo", env="cartpole", **NOISE)


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_rllibs_own_engine_refuses_it(algo: str) -> None:
    stock = {"env": "pendulum", "evaluation_interval": 1_000, **NOISE}
    asked = getattr(algorithms, algo.upper()).get_default_config().update_from_dict(stock)
    with pytest.raises(ValueError, match=r"^noise_correlation: .* does not do evaluation_interval"):
        asked.validate()
