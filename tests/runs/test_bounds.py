"""Best settings on a bound of their range: found, marked, and answered with what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from rltune.cli.outcome import outcome
from rltune.request.resolve import make_spec
from rltune.runs.bounds import on_bounds
from rltune.runs.summary_record import BestPolicy, Summary
from rltune.space import Space, parse_parameter
from rltune.spec import FUNCTION, JobSpec, RunSpec

SPACE: dict[str, dict[str, Any]] = {
    "lr": {"log": [1e-4, 1e-2]},
    "gamma": {"uniform": [0.9, 1.0]},
    "lambda_": {"one_minus_log": [0.9, 0.99]},
    "entropy_coeff": {"uniform": [0.0, 0.02]},
    "minibatch_size": {"pow2": [64, 256]},
    "num_epochs": {"int": [1, 20]},
    "clip_param": {"choice": [0.1, 0.2, 0.3]},
}
INSIDE = {
    "lr": 1e-3,
    "gamma": 0.95,
    "lambda_": 0.95,
    "entropy_coeff": 0.01,
    "minibatch_size": 128,
    "num_epochs": 10,
    "clip_param": 0.2,
}


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    return make_spec("ppo", "cartpole", space=SPACE)


@pytest.mark.fault(89)
@pytest.mark.parametrize(
    ("changes", "marks"),
    [
        ({}, {}),
        ({"lr": 1e-4}, {"lr": "lowest"}),
        ({"lr": 9.7e-3, "lambda_": 0.99}, {"lr": "highest", "lambda_": "highest"}),
        (
            {"minibatch_size": 256, "num_epochs": 20},
            dict.fromkeys(["minibatch_size", "num_epochs"], "highest"),
        ),
        ({"entropy_coeff": 0.02}, {"entropy_coeff": "highest"}),
        # Nothing lies beyond these.
        ({"gamma": 1.0, "entropy_coeff": 0.0, "num_epochs": 1, "clip_param": 0.3}, {}),
        ({"lr": 1.0, "gamma": None, "lambda_": "0.9"}, {}),
    ],
)
def test_values_on_a_bound_that_can_move(
    spec: RunSpec, changes: dict[str, Any], marks: dict[str, str]
) -> None:
    assert on_bounds(spec, {**INSIDE, **changes}) == marks


@pytest.mark.fault(89)
def test_of_a_function_zero_and_one_are_limits_except_on_a_logarithmic_scale(spec: RunSpec) -> None:
    bodies = {"share": {"uniform": [0, 1]}, "c": {"log": [1e-3, 1.0]}, "x": {"uniform": [-2, 2]}}
    space = Space({name: parse_parameter(name, body) for name, body in bodies.items()})
    function = replace(spec, algo=FUNCTION, space=space)
    assert on_bounds(function, {"share": 1.0, "c": 1.0, "x": -2.0}) == {
        "c": "highest",
        "x": "lowest",
    }
    assert on_bounds(function, {"share": 0.0, "c": 0.1, "x": 0.0}) == {}


def _screen(spec: RunSpec, config: dict[str, Any]) -> str:
    best = BestPolicy(trial="t00", config=config, checkpoint="c", env_steps=1, score=1.0)
    summary = Summary(
        best=best, evaluation=None, env_steps=1, wall_seconds=1.0, trials=[], stop_reason="steps"
    )
    console = Console(width=120)
    with console.capture() as capture:
        console.print(outcome(spec, JobSpec(), summary))
    return capture.get()


@pytest.mark.fault(89)
def test_the_outcome_marks_them_and_advises_to_widen_the_range(spec: RunSpec) -> None:
    lines = _screen(spec, {**INSIDE, "lr": 1e-4, "num_epochs": 20}).splitlines()
    assert [line.split()[0] for line in lines if line.rstrip().endswith("of its range")] == [
        "lr",
        "num_epochs",
    ]
    assert "Better values may lie outside: widen the ranges of lr, num_epochs with --space" in [
        line.rstrip() for line in lines
    ]
    assert "range" not in _screen(spec, INSIDE)
