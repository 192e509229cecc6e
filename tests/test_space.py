"""The typed search space."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltune.errors import BadInput
from rltune.space import KINDS, Constraint, Log, OneMinusLog, Space, parse_parameter

EXAMPLES = {
    "uniform": {"uniform": [0.1, 0.5]},
    "log": {"log": [1e-5, 1e-2]},
    "one_minus_log": {"one_minus_log": [0.9, 0.9999]},
    "int": {"int": [3, 11]},
    "pow2": {"pow2": [16, 256]},
    "choice": {"choice": ["relu", "tanh", "silu"]},
}


def test_every_kind_has_an_example() -> None:
    assert EXAMPLES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", EXAMPLES)
@given(unit=st.floats(-0.5, 1.5), seed=st.integers(0, 2**32 - 1))
def test_no_proposal_leaves_the_domain(kind: str, unit: float, seed: int) -> None:
    parameter = parse_parameter("x", EXAMPLES[kind])
    rng = np.random.default_rng(seed)
    value = parameter.from_unit(unit)
    assert parameter.contains(value)
    assert parameter.contains(parameter.sample(rng))
    for _ in range(5):
        value = parameter.perturb(value, rng)
        assert parameter.contains(value)


@pytest.mark.parametrize("kind", EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1))
def test_unit_position_is_inverted(kind: str, seed: int) -> None:
    parameter = parse_parameter("x", EXAMPLES[kind])
    value = parameter.sample(np.random.default_rng(seed))
    back = parameter.from_unit(parameter.to_unit(value))
    if isinstance(value, float):
        assert back == pytest.approx(value, rel=1e-9)
    else:
        assert back == value


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_value_of_a_domain_is_reached(kind: str) -> None:
    parameter = parse_parameter("x", EXAMPLES[kind])
    rng = np.random.default_rng(0)
    drawn = {parameter.sample(rng) for _ in range(500)}
    expected = {"int": 9, "pow2": 5, "choice": 3}.get(kind)
    assert len(drawn) == expected if expected else len(drawn) > 400


def test_log_scales_are_even_in_their_logarithm() -> None:
    rng = np.random.default_rng(0)
    rates = [math.log10(Log(1e-5, 1e-1).sample(rng)) for _ in range(4000)]
    assert np.histogram(rates, bins=4, range=(-5, -1))[0] == pytest.approx([1000] * 4, rel=0.15)
    gammas = [math.log10(1 - OneMinusLog(0.9, 0.9999).sample(rng)) for _ in range(3000)]
    assert np.histogram(gammas, bins=3, range=(-4, -1))[0] == pytest.approx([1000] * 3, rel=0.15)


def test_perturb_moves_a_gamma_in_its_distance_to_one() -> None:
    rng = np.random.default_rng(0)
    moved = {round(OneMinusLog(0.9, 0.9999).perturb(0.99, rng), 6) for _ in range(50)}
    assert moved == {0.992, 0.988}


@given(seed=st.integers(0, 2**32 - 1))
def test_no_proposal_breaks_a_constraint(seed: int) -> None:
    space = Space(
        {
            "minibatch_size": parse_parameter("m", {"pow2": [16, 512]}),
            "train_batch_size": parse_parameter("b", {"pow2": [16, 512]}),
        },
        (
            Constraint.parse("minibatch_size <= train_batch_size"),
            Constraint.parse("envs * 2 divides train_batch_size"),
        ),
    )
    rng = np.random.default_rng(seed)
    fixed = {"envs": 16}
    values = space.sample(rng, fixed)
    for _ in range(20):
        assert values["minibatch_size"] <= values["train_batch_size"]
        assert values["train_batch_size"] % 32 == 0
        values = space.perturb(values, rng, fixed=fixed)


def test_an_impossible_space_is_refused() -> None:
    space = Space({"a": parse_parameter("a", {"int": [5, 9]})}, (Constraint.parse("a <= 4"),))
    with pytest.raises(BadInput, match="a <= 4"):
        space.sample(np.random.default_rng(0))


def test_cube_and_configuration_are_inverse() -> None:
    space = Space({name: parse_parameter(name, body) for name, body in EXAMPLES.items()})
    values = space.sample(np.random.default_rng(3))
    unit = space.to_unit(values)
    assert unit.shape == (len(EXAMPLES),)
    assert (unit >= 0).all()
    assert (unit <= 1).all()
    assert space.from_unit(unit) == pytest.approx(values)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"log": [1e-2, 1e-5]}, r"reversed: write \[1e-05, 0.01\]"),
        ({"log": [0, 1]}, "needs low > 0"),
        ({"choice": []}, "at least one option"),
        ({"choice": ["a", "a"]}, "twice"),
        ({"uniform": [float("nan"), 1]}, "finite"),
        ({"uniform": ["0.1", 1]}, "must be numbers"),
        ({"uniform": [0.1]}, "two numbers"),
        ({"int": [1.5, 3]}, "whole numbers"),
        ({"pow2": [3, 8]}, "powers of two"),
        ({"one_minus_log": [0.9, 1.0]}, r"\[0, 1\)"),
        ({"lgo": [1, 2]}, "Did you mean 'log'"),
        ({"log": [1, 2], "int": [1, 2]}, "exactly one kind"),
        ({"log": [1e-5, 1e-2], "default": 1.0}, "outside"),
        (0.5, "expected a table"),
    ],
)
def test_a_wrong_parameter_is_named_and_mended(body: object, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_parameter("lr", body)
    assert all(problem.startswith("lr: ") for problem in caught.value.problems)


def test_a_constraint_must_be_readable() -> None:
    with pytest.raises(BadInput, match="A <= B"):
        Constraint.parse("minibatch_size ~ train_batch_size")
