"""Derived settings: kept in the run, computed by each trial."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import functions
import pytest
import tune_domains

from rltune.catalog.algorithms import request_problems
from rltune.request.functions import OWN, function_spec
from rltune.request.resolve import make_spec
from rltune.request.trust import code_of
from rltune.spec import JobSpec, RunSpec
from rltune.tasks import task_of
from rltune.tasks.function_trial import trainable_of

DERIVED = {"model/doubled": "tune_domains:double", "noise": "tune_domains:drawn"}


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    made = function_spec(
        functions.climb,
        {"lr": {"log": [1e-5, 1e-2]}},
        settings={"model": {"hidden": 8}},
        metric="height",
        trials=2,
        storage=tmp_path,
    )
    return replace(made, derived=DERIVED)


def test_run_json_holds_them(spec: RunSpec) -> None:
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))).derived == DERIVED


def test_they_must_not_change_between_two_parts_of_a_run(spec: RunSpec) -> None:
    fingerprint = task_of(spec).fingerprint()
    assert fingerprint["derived.noise"] == "tune_domains:drawn"


def test_another_user_s_are_not_imported_without_trust(spec: RunSpec) -> None:
    assert "computes the setting noise by tune_domains:drawn" in code_of(spec)


def test_a_preset_has_none() -> None:
    spec = replace(make_spec("ppo", "cartpole"), derived={"lr": "os:getcwd"})
    assert request_problems(spec, JobSpec()) == [
        "derived: lr: only a function has derived settings"
    ]


def test_a_trial_computes_them_when_it_starts_and_after_an_exploit(spec: RunSpec) -> None:
    own = task_of(spec).config((), 1.0)
    start = {**own, "lr": 1e-3, "model/hidden": 8, "seed": 1}
    trial = trainable_of("functions:climb")(config=start)
    first = trial._config
    assert first.keys() == {"lr", "model", "noise", "seed"}
    assert first["model"] == {"hidden": 8, "doubled": 16}
    told = trial.train()["settings"]
    assert told.items() >= {"lr": 1e-3, "model/hidden": 8, "model/doubled": 16}.items()
    trial.reset_config({**start, "lr": 1e-4, "model/hidden": 9})
    assert trial._config["model"] == {"hidden": 9, "doubled": 18}
    trial.reset_config(start)
    assert trial._config == first
    trial.stop()
    assert own[OWN]["derived"] == DERIVED
    assert tune_domains.double({"model": {"hidden": 8}}) == 16
