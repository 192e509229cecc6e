"""Populations and many seeds train as batches by themselves where that is faster."""

from __future__ import annotations

from typing import Any

import pytest

from rltune.errors import BadInput
from rltune.processes import machine
from rltune.processes.machine import Grant
from rltune.processes.torch_build import FAKE
from rltune.request import capacity
from rltune.request.resolve import landscape_request, make_request


def _batch(algo: str, env: str, job: Any = "train", **options: Any) -> str:
    return make_request(algo, env, job=job, **options)[0].resources.batch


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: Grant(2, "cores"))
    monkeypatch.setattr(machine, "gpus", lambda: Grant(1))


def test_many_seeds_train_as_batches() -> None:
    assert _batch("ppo", "cartpole", trials=8) == "4"
    assert _batch("ppo", "cartpole", trials=100) == "16"
    assert _batch("ppo", "pendulum", trials=8, env_args={"g": 9.0}) == "4"
    spec, _ = landscape_request("ppo", "cartpole", trials=8, seeds=4)
    assert spec.resources.batch == "16"


def test_members_of_a_population_share_processes() -> None:
    assert _batch("ppo", "cartpole", job="sweep") == "2"
    assert _batch("ppo", "cartpole", job="sweep", scheduler="pbt", trials=100) == "16"
    assert _batch("dqn", "cartpole", job="sweep") == "2"
    assert _batch("ppo", "pendulum", job="sweep") == "2"
    assert _batch("ppo", "taxi", job="sweep", scheduler="pbt", trials=8) == "4"
    assert _batch("ppo", "cartpole", job="sweep", trials=2) == "off"


def test_buffers_that_would_not_fit_side_by_side_stay_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "ray_runs", lambda: False)  # other tests of this process use one
    monkeypatch.setattr(machine, "memory", lambda *_: Grant(1 << 30, "RAM"))
    large = {"buffer_capacity": 12_000_000}
    assert _batch("dqn", "cartpole", job="sweep", trials=3, settings=large) == "off"
    with pytest.raises(BadInput, match="in each of 4 trials"):
        _batch("dqn", "cartpole", job="sweep", trials=4, batch=2, settings=large)


def test_what_is_asked_for_stays() -> None:
    assert _batch("ppo", "cartpole", trials=100, batch="off") == "off"
    assert _batch("ppo", "cartpole", trials=100, batch=8) == "8"
    assert _batch("ppo", "cartpole", trials=100, concurrent=2) == "off"
    assert _batch("ppo", "pendulum", trials=16, env_copies=64) == "8"
    assert _batch("ppo", "pendulum", trials=16, env_copies=8) == "off"
    assert _batch("ppo", "pendulum", trials=16, cpus_per_trial=2) == "off"


def test_other_runs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAKE, "1")
    space = {"space": {"fcnet_hiddens": {"choice": [[16], [64]]}}}
    spec, _ = landscape_request("ppo", "cartpole", trials=8, seeds=4, **space)
    assert spec.resources.batch == "off"
    assert _batch("ppo", "cartpole", job="sweep", trials=8, gpus_per_trial=1, **space) == "off"
    assert _batch("ppo", "cartpole", job="sweep", **space) == "off"
    assert _batch("ppo", "cartpole", job="sweep", trials=8, batch=8, **space) == "8"
    assert _batch("ppo", "cartpole", trials=5) == "off"
    assert _batch("ppo", "cartpole", job="sweep", trials=100, scheduler="asha") == "off"
    assert _batch("ppo", "cartpole", job="sweep", trials=9, scheduler="fifo") == "off"
    assert _batch("ppo", "cartpole", job="sweep", address="auto") == "off"
    assert _batch("ppo", "acrobot", job="sweep", scheduler="pbt", trials=100) == "off"
    assert _batch("dqn", "taxi", job="sweep", scheduler="pbt", trials=100) == "off"
    assert _batch("ppo", "pong", job="sweep", scheduler="pbt", trials=100) == "off"
    assert _batch("ppo", "CliffWalking-v1", job="sweep", scheduler="pbt", trials=100) == "off"
    assert _batch("ppo", "pendulum", job="sweep", cpus_per_trial=2) == "off"
    assert _batch("ppo", "pendulum", job="sweep", scheduler="asha") == "off"
    assert _batch("ppo", "acrobot", trials=100) == "off"  # EnvPool steps it
    assert _batch("ppo", "pong", trials=100) == "off"
    assert _batch("ppo", "CliffWalking-v1", trials=100) == "off"
    assert _batch("ppo", "CliffWalking-v1", trials=100, batch=8) == "8"
    assert _batch("dqn", "cartpole", trials=100) == "off"
    assert _batch("dqn", "cartpole", trials=100, batch=8) == "8"
