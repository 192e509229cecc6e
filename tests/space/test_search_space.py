"""The typed search space."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from spaces import DRAWS, EXAMPLES, QUANTISED, constrained_space, parameters

from rltune.errors import BadInput
from rltune.space import KINDS, Constraint, Log, OneMinusLog, Space, parse_parameter


def test_every_kind_has_an_example() -> None:
    assert EXAMPLES.keys() == KINDS.keys()


def test_what_can_be_quantised_has_an_example_of_it() -> None:
    assert QUANTISED.keys() == {name for name, kind in KINDS.items() if kind.takes_step}


@given(body=parameters(), unit=st.floats(-0.5, 1.5), seed=st.integers(0, 2**32 - 1))
def test_no_proposal_leaves_the_domain(body: dict[str, Any], unit: float, seed: int) -> None:
    parameter = parse_parameter("x", body)
    rng = np.random.default_rng(seed)
    value = parameter.from_unit(unit)
    assert parameter.contains(value)
    assert all(parameter.contains(end) for end in parameter.ends())
    assert parameter.contains(parameter.sample(rng))
    for _ in range(5):
        value = parameter.perturb(value, rng)
        assert parameter.contains(value)
        assert all(parameter.contains(near) for near in parameter.neighbours(value))


@given(body=parameters(), seed=st.integers(0, 2**32 - 1))
def test_the_unit_position_is_inverted(body: dict[str, Any], seed: int) -> None:
    parameter = parse_parameter("x", body)
    value = parameter.sample(np.random.default_rng(seed))
    unit = parameter.to_unit(value)
    assert 0.0 <= unit <= 1.0
    if isinstance(value, float):
        width = sum(abs(end) for end in parameter.ends())
        assert parameter.from_unit(unit) == pytest.approx(value, rel=1e-7, abs=1e-9 * width)
    else:
        assert parameter.from_unit(unit) == value


@given(body=parameters(), seed=st.integers(0, 2**32 - 1))
def test_a_parameter_is_built_again_from_what_it_is_written_as(
    body: dict[str, Any], seed: int
) -> None:
    default = parse_parameter("x", body).sample(np.random.default_rng(seed))
    parameter = parse_parameter("x", {**body, "default": default})
    written = parameter.to_dict()
    assert written.items() >= {k: v for k, v in body.items() if k == "step"}.items()
    assert parse_parameter("x", json.loads(json.dumps(written))) == parameter


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_value_of_a_domain_is_reached(kind: str) -> None:
    parameter = parse_parameter("x", EXAMPLES[kind])
    rng = np.random.default_rng(0)
    drawn = {parameter.sample(rng) for _ in range(500)}
    expected = {"int": 9, "pow2": 5, "choice": 3, "grid": 2}.get(kind)
    if kind == "log_int":
        assert {*range(3, 20)} <= drawn <= {*range(3, 301)}
    else:
        assert len(drawn) == expected if expected else len(drawn) > 400


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uniform", [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5]),
        ("log", [round(0.01 * n, 2) for n in range(1, 101)]),
        ("one_minus_log", [round(0.9 + 0.01 * n, 2) for n in range(10)]),
        ("normal", [-0.25, 0.0, 0.25, 0.5, 0.75]),
        ("int", [3, 5, 7, 9, 11]),
        ("log_int", [*range(8, 513, 8)]),
    ],
)
def test_a_quantised_domain_has_the_values_of_its_steps(kind: str, values: list[float]) -> None:
    parameter = parse_parameter("x", QUANTISED[kind])
    assert {parameter.from_unit(unit) for unit in np.linspace(0, 1, 5001)} == set(values)
    low, high = values[0], values[-1]
    assert parameter.ends() == [low, high]
    for value in values:
        assert parameter.contains(value)
        assert parameter.from_unit(parameter.to_unit(value)) == value
    between = (low + values[1]) / 2
    assert not parameter.contains(between)
    reached, value = {low}, low
    while (value := parameter.neighbours(value)[kind != "one_minus_log"]) not in reached:
        reached.add(value)
    assert high in reached


def test_a_normal_parameter_has_the_spread_that_is_asked_for() -> None:
    parameter, rng = parse_parameter("x", {"normal": [3.0, 0.5]}), np.random.default_rng(0)
    drawn = np.array([parameter.sample(rng) for _ in range(4000)])
    assert kstest(drawn, "norm", args=(3.0, 0.5)).pvalue > 0.01
    assert parameter.ends() == [0.5, 5.5]
    assert parameter.from_unit(0.5) == pytest.approx(3.0)
    assert parameter.neighbours(3.0) == (2.75, 3.25)


def test_log_integers_are_even_in_their_logarithm() -> None:
    parameter, rng = parse_parameter("x", {"log_int": [1, 999]}), np.random.default_rng(0)
    drawn = [parameter.sample(rng) for _ in range(3000)]
    shares = [sum(len(str(value)) == digits for value in drawn) for digits in (1, 2, 3)]
    assert shares == pytest.approx([1000] * 3, rel=0.1)


def test_a_space_knows_what_is_searched_as_a_grid() -> None:
    assert list(constrained_space().grid()) == ["grid"]


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


@pytest.mark.parametrize(
    ("body", "value", "reached"),
    [
        ({"uniform": [0.1, 0.4]}, 0.2, {0.16, 0.24}),
        ({"uniform": [0.0, 0.02]}, 0.0, {0.001}),
        ({"uniform": [-1.0, 1.0]}, 0.0, {-0.1, 0.1}),
        ({"uniform": [-1.0, 1.0]}, -1.0, {-0.8}),
        ({"uniform": [99.0, 101.0]}, 100.0, {99.0, 101.0}),
        ({"log": [1e-5, 1e-2]}, 1e-2, {0.008}),
        ({"log": [1e-5, 1e-2]}, 9e-3, {0.0072, 1e-2}),
        ({"one_minus_log": [0.9, 0.99]}, 0.99, {0.988}),
        ({"int": [0, 20]}, 0, {1}),
        ({"int": [0, 1000]}, 0, {50}),
        ({"int": [1, 9]}, 9, {7}),
        ({"pow2": [16, 64]}, 64, {32}),
        ({"pow2": [16, 64]}, 32, {16, 64}),
        ({"choice": ["a", "b", "c"]}, "a", {"b"}),
        ({"choice": ["a", "b", "c"]}, "b", {"a", "c"}),
        ({"choice": [1, True]}, True, {1}),
        ({"choice": ["a"]}, "a", {"a"}),
        ({"uniform": [0.3, 0.3]}, 0.3, {0.3}),
        ({"uniform": [0.0, 1.0], "step": 0.5}, 0.5, {0.0, 1.0}),
        ({"uniform": [0.0, 1.0], "step": 0.01}, 0.5, {0.4, 0.6}),
        ({"log": [0.5, 8.0], "step": 0.5}, 1.0, {0.5, 1.5}),
        ({"int": [0, 1000], "step": 100}, 0, {100}),
        ({"log_int": [8, 512]}, 100, {80, 120}),
        ({"log_int": [1, 512]}, 1, {2}),
        ({"log_int": [8, 512], "step": 8}, 8, {16}),
        ({"normal": [0.0, 1.0]}, 1.0, {0.5, 1.5}),
        ({"normal": [0.0, 1.0]}, 5.0, {4.5}),
        ({"normal": [0.0, 1.0], "step": 2}, 0.0, {-2.0, 2.0}),
        ({"grid": ["a", "b", "c"]}, "a", {"b"}),
        ({"int": [4, 4]}, 4, {4}),
    ],
)
def test_a_step_is_a_fifth_and_always_moves_where_it_can(
    body: dict[str, object], value: object, reached: set[object]
) -> None:
    parameter, rng = parse_parameter("x", body), np.random.default_rng(0)
    seen = [parameter.perturb(value, rng) for _ in range(30)]
    assert {round(x, 9) if isinstance(x, float) else x for x in seen} == reached
    assert all(parameter.contains(x) for x in seen)


@pytest.mark.parametrize("kind", ["uniform", "log", "one_minus_log", "int", "pow2", "log_int"])
def test_a_value_outside_its_range_is_clipped(kind: str) -> None:
    parameter, rng = parse_parameter("x", EXAMPLES[kind]), np.random.default_rng(0)
    low, high = parameter.domain()
    for value in (low * 0.99, high * 1.001, low - 1e-9, high + 1e-9):
        assert 0.0 <= parameter.to_unit(value) <= 1.0
        assert parameter.contains(parameter.nearest(value))
        assert parameter.contains(parameter.perturb(value, rng))


def test_samples_keep_domains_and_constraints() -> None:
    space, rng, fixed = constrained_space(), np.random.default_rng(0), {"settled": 8}
    assert all(space.contains({**fixed, **space.sample(rng, fixed)}) for _ in range(DRAWS))


def test_a_perturbed_configuration_always_changes() -> None:
    space = Space(
        {name: parse_parameter(name, {"int": [1, 1000]}) for name in "ab"},
        (Constraint.parse("a <= b"), Constraint.parse("b <= a * 1.01")),
    )
    rng, values = np.random.default_rng(0), {"a": 500, "b": 500}
    for _ in range(20):
        moved = space.perturb(values, rng)
        assert space.contains(moved)
        assert space.changes(values, moved)


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


def test_the_unit_cube_mapping_is_inverted() -> None:
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
        ({"normal": [0.0, 0.0]}, "standard deviation must be above 0"),
        ({"normal": [1.0]}, r"two numbers, \[mean, standard deviation\]"),
        ({"log_int": [0, 8]}, "needs low > 0"),
        ({"log_int": [1, 8.5]}, "whole numbers"),
        ({"grid": []}, "at least one option"),
        ({"uniform": [0, 1], "step": 0}, "step = 0 must be a number above 0"),
        ({"uniform": [0, 1], "step": "0.1"}, "must be a number above 0"),
        ({"uniform": [0, 1], "step": float("nan")}, "must be a number above 0"),
        ({"uniform": [0, 1], "step": 2}, r"step = 2 is wider than the range \[0, 1\]"),
        ({"int": [0, 8], "step": 0.5}, "step of int must be a whole number"),
        ({"pow2": [2, 8], "step": 2}, "pow2 takes no step"),
        ({"choice": [1, 2], "step": 1}, "choice takes no step"),
        ({"uniform": [0, 1], "step": 0.1, "default": 0.33}, "outside uniform = .*, step = 0.1"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_fix(body: object, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_parameter("lr", body)
    assert all(problem.startswith("lr: ") for problem in caught.value.problems)


def test_a_constraint_must_be_readable() -> None:
    with pytest.raises(BadInput, match="A <= B"):
        Constraint.parse("minibatch_size ~ train_batch_size")
