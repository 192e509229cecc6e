"""Real members in environments as their authors mean them: sampling, losses, scoring, export."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from quick import make, same, weights

from rltune import algorithms, envs
from rltune.algorithms.policy import Policy
from rltune.engine.codec import action_codec
from rltune.errors import EnvironmentFailed
from rltune.metric import RETURN
from rltune.options import EnvOptions
from rltune.policies import export
from rltune.policies.episodes import play
from rltune.request.resolve import make_spec

pytestmark = pytest.mark.usefixtures("ray_session")

SEEDS = list(range(12))
#: Trained for a moment.
BRIEF: dict[str, Any] = {
    "min_sample_timesteps_per_iteration": 256,
    "num_envs_per_env_runner": 4,
    "train_batch_size": 128,
    "fcnet_hiddens": [16],
}
OF_ALGO: dict[str, dict[str, Any]] = {
    "ppo": {"minibatch_size": 64, "num_epochs": 2},
    "dqn": {"num_steps_sampled_before_learning_starts": 128, "final_epsilon": 0.5},
    "sac": {"num_steps_sampled_before_learning_starts": 128, "training_intensity": 32.0},
}


def member(algo: str, env: str, args: dict[str, Any] | None = None, **changes: Any) -> Any:
    """A member that has trained for an iteration; no environment of it was made again."""
    changes = {"env_config": args or {}, **BRIEF, **OF_ALGO[algo], **changes}
    trained = make(algo, env=env, **changes)
    result = trained.train()
    assert "events" not in result, result["events"]
    assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
    return trained


def policy_of(trained: Any, env: str, args: dict[str, Any], frame_stack: int = 1) -> Policy:
    made = envs.make(env, args, frame_stack)
    codec = action_codec(envs.authored_actions(made))
    return Policy(trained.learner.net.eval(), codec, frame_stack)


BOX = spaces.Box(-1, 1, (3,), np.float32)
#: Observations and actions, in each of the ways that a policy reads and acts.
PAIRS: dict[str, tuple[gym.Space[Any], gym.Space[Any], tuple[str, ...]]] = {
    "start": (BOX, spaces.Discrete(4, start=-3), ("ppo", "dqn")),
    "nested": (
        spaces.Dict(a=BOX, b=spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary((2, 2))])),
        spaces.Discrete(3),
        ("ppo", "dqn"),
    ),
    "many": (spaces.Discrete(4, start=-3), spaces.MultiDiscrete([[3, 2], [2, 4]]), ("ppo",)),
    "binary": (spaces.Box(-1, 1, ()), spaces.MultiBinary((2, 3)), ("ppo",)),
    "scalar": (spaces.MultiDiscrete([3, 4]), spaces.Box(-2, 3, ()), ("ppo", "sac")),
    "axes": (
        spaces.Box(-1, 1, (2, 2, 2, 2)),
        spaces.Box(np.float32([[-3, 0]]), np.float32([[0.2, 9]])),
        ("ppo", "sac"),
    ),
    "whole": (BOX, spaces.Box(0, 10, (2,), np.int64), ("ppo", "sac")),
    "open": (BOX, spaces.Box(np.float64([-np.inf, 0]), np.inf, (2,), np.float64), ("ppo",)),
    "double": (spaces.Box(-1, 1, (2,), np.float64), spaces.Box(-2, 3, (1,), np.float64), ("sac",)),
    "board": (spaces.Box(0, 1, (8, 8, 12), np.uint8), spaces.Discrete(3), ("dqn",)),
    "planes": (spaces.Box(0, 255, (2, 12, 12), np.uint8), spaces.Discrete(3), ("ppo",)),
    "narrow": (spaces.Box(0, 255, (2, 2, 3), np.uint8), spaces.Discrete(3), ("dqn",)),
    "grey": (spaces.Box(0, 255, (40, 40), np.uint8), BOX, ("sac",)),
}
CASES = [(name, algo) for name, (_, _, algos) in PAIRS.items() for algo in algos]


@pytest.mark.fault(62, 63, 64, 65, 66, 67, 68, 69)
@pytest.mark.parametrize(("name", "algo"), CASES)
def test_the_environment_gets_its_own_actions(name: str, algo: str, tmp_path: Path) -> None:
    shown, acted, _ = PAIRS[name]
    args = {"observation_space": shown, "action_space": acted}
    trained = member(algo, "authors:Strict", args)
    spec = make_spec(algo, "pendulum" if algo == "sac" else "cartpole", storage=tmp_path)
    policy = policy_of(trained, "authors:Strict", args)
    asked = _Asked("authors:Strict", args)
    assert play(policy, asked, SEEDS) == [10.0] * len(SEEDS)  # type: ignore[arg-type]
    obs = export.observations(policy, asked, 64)  # type: ignore[arg-type]
    export._write(policy, spec, obs[:2], tmp_path / "policy.onnx")
    agreement = export.compare(policy, tmp_path / "policy.onnx", obs)
    assert agreement.equal == 64, agreement
    trained.cleanup()


class _Asked:
    """What scoring and export read of a request."""

    seed = 0
    metric = "episode_reward_mean"
    goal = RETURN

    def __init__(self, env_id: str, env_args: dict[str, Any], env_copies: int | None = None):
        self.env_id = env_id
        self.env_options = EnvOptions(env_args=env_args, env_copies=env_copies)


@pytest.mark.fault(67)
@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize(
    ("algo", "changes"),
    [
        ("ppo", {"observation_filter": "MeanStdFilter", "use_kl_loss": True}),
        ("ppo", {"frame_stack": 3}),
        ("ppo", {"many": True, "entropy_coeff": 0.01}),
        ("dqn", {"observation_filter": "MeanStdFilter", "frame_stack": 2}),
        ("dqn", {"double_q": False, "dueling": True}),
        ("dqn", {"num_atoms": 7, "v_min": 0.0, "v_max": 10.0, "prioritized_replay": True}),
    ],
)
def test_no_illegal_action_is_ever_taken(algo: str, changes: dict[str, Any], beside: bool) -> None:
    changes = dict(changes)
    args = {"beside": beside, "many": changes.pop("many", False)}
    trained = member(algo, "authors:Cards", args, **changes)
    for _ in range(2):
        assert "events" not in trained.train()
    policy = policy_of(trained, "authors:Cards", args, changes.get("frame_stack", 1))
    assert play(policy, _Asked("authors:Cards", args), SEEDS) == [10.0] * 12  # type: ignore[arg-type]
    trained.cleanup()


@pytest.mark.fault(64)
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("high", [1, 255])
def test_bytes_are_learnt_like_the_same_numbers_in_float32(algo: str, high: int) -> None:
    left = member(algo, "authors:Bits", {"dtype": "float32", "high": high})
    for dtype in ("uint8", "int8" if high == 1 else "int64", "float64"):
        right = member(algo, "authors:Bits", {"dtype": dtype, "high": high})
        assert same(weights(left), weights(right)), dtype
        right.cleanup()
    left.cleanup()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("frame_stack", [1, 3])
def test_a_reused_array_keeps_its_earlier_values(frame_stack: int, shared: bool) -> None:
    args = {"shared": shared}
    changes = {"frame_stack": frame_stack, **BRIEF, **OF_ALGO["dqn"]}
    trained = make("dqn", env="authors:Reused", env_config=args, **changes)
    rollout = trained.env_runner.sample(num_steps=25)
    frames = rollout.next_obs.reshape(25, 4, frame_stack, 2)
    assert (frames[..., -1, 1] == rollout.actions).all()  # of this very copy
    for back in range(frame_stack):
        counts = [k - back if k > back else -500 for k in range(1, 11)]
        seen = frames[:20, :, -1 - back, 0]
        assert (seen == np.array([*counts, *counts])[:, None]).all()
    starts = rollout.obs.reshape(25, 4, frame_stack, 2)[[0, 10, 20]]
    assert (starts == [-500, 0]).all()
    info = {"total": 10.0, "deep/total": 10.0, "array": 10.0}
    assert [episode.info for episode in rollout.episodes] == [info] * 8
    assert np.isfinite(trained.train()["learners"]["default_policy"]["total_loss"])
    trained.cleanup()


@pytest.mark.parametrize("frame_stack", [1, 2])
def test_observations_that_are_kept_stay_as_they_were(frame_stack: int) -> None:
    made = partial(envs.make, "authors:Reused", {"shared": True}, frame_stack)
    left, right = made(), made()
    start = left.reset(seed=0)[0]
    right.reset(seed=1)
    kept = [start, left.step(1)[0], right.step(0)[0], left.step(0)[0]]
    assert [obs[-2:].tolist() for obs in kept] == [[-500, 0], [1, 1], [1, 0], [2, 0]]


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_torch_settings_of_an_environment_stay_its_own(algo: str) -> None:
    trained = make(algo, env="authors:SetsTorch", **BRIEF, **OF_ALGO[algo])
    rollout = trained.env_runner.sample(num_steps=60)
    assert torch.get_num_threads() == 1  # as the member sets it
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    episodes = rollout.actions.reshape(6, 10, -1)
    assert len(np.unique(episodes, axis=0)) == 6  # it seeds torch alike in each of them
    assert np.isfinite(trained.train()["learners"]["default_policy"]["total_loss"])
    policy = policy_of(trained, "authors:Bits", {"n": 8})
    try:
        scored = play(policy, _Asked("authors:SetsTorch", {}), SEEDS)  # type: ignore[arg-type]
    finally:
        trained.cleanup()
    assert scored == [10.0] * len(SEEDS)
    assert torch.get_default_dtype() == torch.float32


def test_export_respects_the_limit_of_copies() -> None:
    trained = member("ppo", "authors:OnAPort", num_envs_per_env_runner=1)
    policy = policy_of(trained, "authors:Bits", {"n": 8})
    with pytest.raises(EnvironmentFailed, match=r"authors:OnAPort, .*in use .*authors.py:"):
        export.observations(policy, _Asked("authors:OnAPort", {}), 50)  # type: ignore[arg-type]
    trained.cleanup()
    one = _Asked("authors:OnAPort", {}, env_copies=1)
    assert export.observations(policy, one, 50).shape == (50, 8)  # type: ignore[arg-type]


def test_copies_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match=r"observation_space of copy 2 is Box.*every copy must"):
        envs.make_vec("authors:Differing", 3)


@pytest.mark.fault(63)
@pytest.mark.parametrize(
    ("low", "high"), [(-3.0, 0.2), (-2.0, 0.7)], ids=["stronger brakes", "other bounds"]
)
def test_full_throttle_is_in_the_space(low: float, high: float) -> None:
    env = envs.make("authors:Cruise", {"low": low, "high": high})
    env.reset(seed=0)
    returns = sum(env.step(np.float32([17.0]))[1] for _ in range(50))
    assert returns == pytest.approx(50 * high)


@pytest.mark.fault(62)
def test_drawn_actions_cover_the_whole_space() -> None:
    taken: list[int] = []
    trained = make("dqn", env="authors:Thermostat", **BRIEF, **OF_ALGO["dqn"])
    for env in trained.env_runner.env.envs:
        step = env.step
        env.step = lambda action, step=step: taken.append(int(action)) or step(action)
    trained.train()
    assert set(taken) == {-2, -1, 0, 1, 2}
    trained.cleanup()


def test_sac_and_dqn_say_what_they_act_in() -> None:
    with pytest.raises(ValueError, match="sac acts in a Box with finite bounds"):
        algorithms.SAC(config={"env": "CartPole-v1"})
    with pytest.raises(ValueError, match="dqn acts in Discrete"):
        algorithms.DQN(config={"env": "Pendulum-v1"})
