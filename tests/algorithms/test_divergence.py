"""What is no finite number ends a member's training, before it reaches weights or buffer."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quick import config, exploit, make, optimiser, same, weights
from trouble import STEPS, trouble

from rltune.algorithms.fallback import check_metrics
from rltune.catalog.algorithms import ALGORITHMS
from rltune.engine.divergence import Divergence
from rltune.engine.update_watch import Watch
from rltune.runs.checkpoints import RECORD_FILE
from rltune.runs.json_text import dumps, loads

pytestmark = pytest.mark.usefixtures("ray_session")


def _until_diverged(member: Any, reports: int = 20) -> dict[str, Any]:
    for _ in range(reports):
        result: dict[str, Any] = member.train()
        json.loads(dumps({name: result[name] for name in ("settings", "env_steps")}))
        if "diverged" in result:
            return result
    raise AssertionError(f"no divergence within {reports} reports")


def _finite(member: Any) -> bool:
    return all(bool(w.isfinite().all()) for w in [*weights(member).values(), *optimiser(member)])


def _meets(algo: str, what: str, value: str) -> None:
    settings = trouble(algo, what, at=700, value=value)
    member = make(algo, **settings)
    result = _until_diverged(member)
    assert result["diverged"] == {"env_steps": 700, "what": what, "value": value}
    assert "episode_reward_mean" not in result
    assert 700 <= result["env_steps"] <= 1_024
    assert _finite(member)
    assert all(math.isfinite(episode) for episode in member.window.returns)
    if algo != "ppo":
        batch = member.replay.sample(3_000)
        assert np.isfinite(batch["rewards"]).all()
        assert np.isfinite(batch["next_obs"]).all()
    # It stands still, without an environment being stepped.
    steps, before = STEPS[settings["env_config"]["key"]], weights(member)
    again = member.train()
    assert again["env_steps"] == result["env_steps"]
    assert again["env_steps_this_iter"] == 0
    assert again["diverged"] == result["diverged"]
    assert STEPS[settings["env_config"]["key"]] == steps
    assert same(before, weights(member))
    member.cleanup()


@pytest.mark.fault(22)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_nan_reward_is_a_divergence(algo: str) -> None:
    _meets(algo, "reward", "nan")


@pytest.mark.fault(23)
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("value", ["inf", "-inf"])
def test_an_infinite_reward_is_a_divergence(algo: str, value: str) -> None:
    _meets(algo, "reward", value)


@pytest.mark.fault(24)
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_an_observation_that_is_not_finite_is_a_divergence(algo: str, value: str) -> None:
    _meets(algo, "observation", value)


@pytest.mark.fault(27)
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("value", ["1e30", "-1e30", "1e300"])
def test_a_huge_reward_leaves_finite_weights(algo: str, value: str) -> None:
    """Trained on, or reported as divergence: no crash, and nothing that is not finite is left."""
    member = make(algo, **trouble(algo, "reward", at=700, value=value))
    for _ in range(3):
        result = member.train()
        told = json.loads(dumps({k: v for k, v in result.items() if k in _TOLD}))
        assert told["env_steps"] == member.env_steps
        if "diverged" not in result:
            assert math.isfinite(result["episode_reward_mean"])
    if value == "1e300":  # more than a float32 holds
        assert result["diverged"] == {"env_steps": 700, "what": "reward", "value": "inf"}
    assert _finite(member)
    member.cleanup()


_TOLD = ("env_steps", "settings", "diverged", "episode_reward_mean", "events")


def _rates(algo: str, rate: float) -> dict[str, float]:
    return {name: rate for name in ALGORITHMS[algo].settings if name.split("_")[-1] == "lr"}


@pytest.mark.fault(29)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_learning_rate_far_too_high_is_a_divergence(algo: str, tmp_path: Path) -> None:
    member = make(algo, trial="t01", **_rates(algo, 1e20))
    result = _until_diverged(member)
    assert result["diverged"]["what"] in ("loss", "gradient", "action", "observation")
    assert result["diverged"]["value"] in ("nan", "inf", "-inf")
    assert _finite(member)
    # Its checkpoint says so, and a trial that loads it has diverged too.
    member.save(str(tmp_path / "own"))
    record = loads((tmp_path / "own" / RECORD_FILE).read_text())
    assert record["diverged"] == result["diverged"]
    member.reset(config(algo, trial="t01", **_rates(algo, 1e20)))
    assert member.diverged is None
    member.restore(str(tmp_path / "own"))
    assert member.train()["diverged"] == result["diverged"]
    # An exploit rescues it.
    donor = make(algo, trial="t02")
    donor.train()
    donor.save(str(tmp_path / "donor"))
    assert loads((tmp_path / "donor" / RECORD_FILE).read_text())["diverged"] is None
    own = exploit(donor, member.env_steps, str(tmp_path / "own"))
    member.reset(config(algo, trial="t01", exploit=own))
    member.restore(str(tmp_path / "donor"))
    rescued = member.train()
    assert "diverged" not in rescued
    assert rescued["env_steps"] > own["env_steps"]
    assert not same(weights(member), weights(donor))
    member.cleanup()
    donor.cleanup()


class Poison:
    """Spoils the loss or a gradient of the update number ``at``, and keeps what was before."""

    def __init__(self, member: Any, what: str, value: float, at: int = 3) -> None:
        self.member, self.value, self.at, self.updates = member, value, at, 0
        self.what = what
        self._gradients = member.learner.gradients
        member.learner.gradients = self.gradients

    def gradients(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.updates += 1
        if self.updates != self.at:
            untouched: torch.Tensor = self._gradients(batch)
            return untouched
        self.before = weights(self.member), optimiser(self.member)
        loss: torch.Tensor = self._gradients(batch)
        if self.what == "loss":
            return loss * self.value
        # The last of them, so that the others are sound.
        self.member.learner._parts[-1][1][-1].grad.mul_(self.value)
        return loss


@pytest.mark.fault(29)
@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_bad_update_is_not_applied(algo: str, what: str, waits: bool) -> None:
    """Also where the device is not waited for: fused Adam skips the step on a CPU as on a GPU."""
    member = make(algo, grad_clip=float("inf") if algo == "sac" else 0.5)
    learner = member.learner
    learner.watch = Watch(learner.device, list(learner._named_optimizers.values()), waits)
    poison = Poison(member, what, math.nan)
    result = _until_diverged(member)
    assert result["diverged"]["what"] == what
    assert result["diverged"]["value"] == "nan"
    assert result["diverged"]["env_steps"] == member.env_steps
    networks, states = poison.before
    trained = {name: w for name, w in networks.items() if waits or "target" not in name}
    assert len(trained) > 3
    assert same(trained, weights(member))
    for old, now in zip(states, optimiser(member), strict=True):
        assert torch.equal(old, now)
    member.cleanup()


@pytest.mark.fault(29)
def test_the_bad_update_is_applied_without_the_check() -> None:
    """What the test above would miss if it looked at the wrong things."""
    member = make("dqn")
    member.learner.watch.look = lambda *_: None
    poison = Poison(member, "loss", math.nan)
    member.train()
    assert not same(poison.before[0], weights(member))
    member.cleanup()


def test_an_asynchronous_check_reports_the_first_bad_update() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    adam = torch.optim.Adam([weight], fused=True)
    watch = Watch(torch.device("cpu"), [adam], waits=False)
    inf = float("inf")
    for loss, norm in ((1.0, 2.0), (3.0, inf), (math.nan, 1.0)):
        weight.grad = torch.ones(3)
        watch.look(torch.tensor(loss), [torch.tensor(norm)])
        adam.step()
    assert adam.state[weight]["step"] == 1
    with pytest.raises(Divergence, match="gradient is inf"):
        watch.check()
    watch.clear()
    watch.look(torch.tensor(1.0), [torch.tensor(1.0)])
    adam.step()
    watch.check()
    assert adam.state[weight]["step"] == 2


def test_a_divergence_travels_between_processes() -> None:
    found = pickle.loads(pickle.dumps(Divergence("action", -math.inf, 9)))
    assert found.record(70) == {"env_steps": 9, "what": "action", "value": "-inf"}
    assert Divergence("loss", math.nan).record(70)["env_steps"] == 70


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_rllibs_own_engine_is_checked_by_its_metrics() -> None:
    changes = {"evaluation_interval": 1_000, **trouble("ppo", "reward", at=300, value="inf")}
    member = make("ppo", **changes, fcnet_hiddens=[8], train_batch_size=512, minibatch_size=256)
    assert not member.on_arrays
    result = _until_diverged(member)
    assert result["diverged"]["what"] in ("reward", "loss")
    assert "episode_reward_mean" not in result
    steps = member.env_steps
    assert member.train()["env_steps"] == steps
    member.cleanup()
    # Before an episode has ended RLlib reports nan, which is nothing bad.
    runners = {"episode_return_mean": math.nan, "num_episodes": 0}
    check_metrics({"env_runners": runners, "learners": {"p": {"total_loss": 0.5}}})
    with pytest.raises(Divergence, match="reward is nan"):
        check_metrics({"env_runners": {**runners, "num_episodes": 1}})
    with pytest.raises(Divergence, match="loss is nan"):
        check_metrics({"env_runners": runners, "learners": {"p": {"total_loss": math.nan}}})
