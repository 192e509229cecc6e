"""PB2's explorer, its Gaussian process and its bandit, without training."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from spaces import DRAWS, constrained_space
from threadpoolctl import threadpool_info, threadpool_limits

from rltune.schedulers.bandit import arm_probabilities
from rltune.schedulers.gains import GainModel
from rltune.schedulers.gp import GaussianProcess, Prior
from rltune.schedulers.pb2 import Pb2Explorer
from rltune.space import Constraint, Space, parse_parameter

BESIDE = {"settled": 8}


def _space(**bodies: dict[str, Any]) -> Space:
    return Space({name: parse_parameter(name, body) for name, body in bodies.items()})


def _with_history(space: Space, intervals: int = 6, seed: int = 0) -> Pb2Explorer:
    """An explorer that has seen four members wander."""
    explorer, rng = Pb2Explorer(space, seed), np.random.default_rng(seed)
    for interval in range(1, intervals + 1):
        for member in "abcd":
            explorer.observe(member, 1000 * interval, rng.normal(), space.sample(rng, BESIDE))
    return explorer


def test_a_decision_takes_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials are at work on the others."""
    seen, draw = [], GainModel.draw

    def watched(self: GainModel, points: Any, rng: Any) -> Any:
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return draw(self, points, rng)

    monkeypatch.setattr(GainModel, "draw", watched)
    space = _space(x={"uniform": [0.0, 1.0]})
    _with_history(space).explore("a", 7_000, 1.0, space.sample(np.random.default_rng(0), BESIDE))
    assert seen
    assert set(seen) == {1}


def test_proposals_keep_domains_and_constraints() -> None:
    space, rng, seen = constrained_space(), np.random.default_rng(0), 0
    explorer = _with_history(space, intervals=3)
    for interval in itertools.count(7):
        donor = {**BESIDE, **space.sample(rng, BESIDE)}
        for proposal in explorer.proposals(1000 * interval, rng.normal(), donor):
            seen += 1
            assert space.contains({**donor, **proposal})
            assert space.changes(donor, proposal)
        if seen >= DRAWS:
            return


def test_whole_exploits_keep_domains_and_constraints() -> None:
    space, rng = constrained_space(), np.random.default_rng(1)
    explorer = Pb2Explorer(space, seed=1)
    members = {name: space.sample(rng, BESIDE) for name in "abcd"}
    for interval in range(1, 16):
        for name, values in members.items():
            explorer.observe(name, 1000 * interval, rng.normal(), values)
        donor = {**BESIDE, **members["b"]}
        members["a"] = explorer.explore("a", 1000 * interval, rng.normal(), donor)
        assert space.contains({**donor, **members["a"]})
        assert space.changes(donor, members["a"])
        members = dict(zip(members, [*[*members.values()][1:], members["a"]], strict=True))


def test_a_donor_within_a_narrow_constraint_is_still_changed() -> None:
    """Candidates all over the cube break it nearly always; a step from the donor does not."""
    space = Space(
        _space(a={"int": [1, 1000]}, b={"int": [1, 1000]}).parameters,
        (Constraint.parse("a <= b"), Constraint.parse("b <= a * 1.01")),
    )
    donor = {"a": 500, "b": 500}
    explorer = Pb2Explorer(space, seed=0)
    for interval in range(1, 5):
        explorer.observe("a", interval, float(interval), donor)
    values = explorer.explore("b", 5, 1.0, donor)
    assert space.contains(values)
    assert values != donor


@pytest.mark.parametrize(
    "space",
    [
        _space(x={"uniform": [0.0, 0.0]}, y={"log": [1e-5, 1e-1]}),
        _space(x={"choice": [True, False]}),
        _space(x={"choice": [[64, 64], [256, 256]]}, y={"choice": ["one"]}),
        _space(x={"pow2": [32, 64]}),
    ],
    ids=["equal-bounds", "one-choice", "lists", "two-values"],
)
@pytest.mark.parametrize("intervals", [0, 1, 2, 8])
def test_an_exploit_is_never_an_unchanged_copy(space: Space, intervals: int) -> None:
    explorer = _with_history(space, intervals)
    donor = space.sample(np.random.default_rng(5))
    for _ in range(5):
        values = explorer.explore("a", 1000 * (intervals + 1), 0.5, donor)
        assert space.contains(values)
        assert values != donor


def test_a_space_without_alternatives_is_not_an_error() -> None:
    only = _space(x={"choice": ["one"]}, y={"int": [3, 3]})
    explorer = _with_history(only)
    assert explorer.explore("a", 9000, 1.0, {"x": "one", "y": 3}) == {"x": "one", "y": 3}
    assert Pb2Explorer(Space(), 0).explore("a", 0, 1.0, {"lr": 1.0}) == {}


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_nan_scores_are_ignored(score: float) -> None:
    space = _space(lr={"log": [1e-5, 1e-1]})
    clean, faulty = (_with_history(space) for _ in range(2))
    faulty.observe("e", 6000, score, {"lr": 1e-3})
    faulty.observe("e", 7000, 5.0, {"lr": 1e-3})
    faulty.observe("f", 7000, 5.0, {"lr": 1e-3})
    faulty.observe("f", 8000, score, {"lr": 1e-3})
    donor = {"lr": 1e-3}
    assert clean.explore("a", 9000, 1.0, donor) == faulty.explore("a", 9000, 1.0, donor)
    assert space.contains(faulty.explore("b", 9000, score, donor))


def test_an_interval_after_an_exploit_counts_from_the_donors_return() -> None:
    explorer = Pb2Explorer(_space(lr={"log": [1e-4, 1e-2]}), seed=0)
    explorer.observe("a", 1000, 10.0, {"lr": 1e-3})
    values = explorer.explore("a", 1000, 50.0, {"lr": 1e-3})
    explorer.observe("a", 3000, 56.0, values)
    explorer.observe("a", 4000, 57.0, values)
    rows = explorer.get_state()["rows"]
    assert [(point[:2], steps, gain) for point, steps, gain in rows] == [
        ([1000.0, 50.0], 2000.0, 0.003),
        ([3000.0, 56.0], 1000.0, 0.001),
    ]


def test_repeated_points_and_constant_gains_are_fitted() -> None:
    space = _space(lr={"log": [1e-5, 1e-1]}, act={"choice": ["relu", "tanh"]})
    explorer = Pb2Explorer(space, seed=0)
    values = {"lr": 1e-3, "act": "relu"}
    for interval in range(1, 30):
        for member in "abcd":
            explorer.observe(member, 1000 * interval, 0.0, values)
    assert space.contains(explorer.explore("a", 30_000, 0.0, values))


def _scores(space: Space, seed: int, gain: Any, intervals: int = 15) -> list[Mapping[str, Any]]:
    """What four members run at in the end, whose returns grow by a function of their settings."""
    return _run(space, seed, gain, intervals)[0]


def _run(
    space: Space, seed: int, gain: Any, intervals: int, noise: float = 0.0
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """What four members run at in the end, and all that was proposed to them."""
    explorer, rng = Pb2Explorer(space, seed), np.random.default_rng(seed)
    members = {name: space.sample(rng) for name in "abcd"}
    returns, proposed = dict.fromkeys(members, 0.0), []
    for interval in range(1, intervals + 1):
        for name, values in members.items():
            returns[name] += gain(values) + noise * rng.standard_normal()
            explorer.observe(name, 1000 * interval, returns[name], values)
        ranked = sorted(members, key=returns.__getitem__)
        worst, best = ranked[0], ranked[-1]
        returns[worst] = returns[best]
        members[worst] = explorer.explore(worst, 1000 * interval, returns[best], members[best])
        proposed.append(members[worst])
    return list(members.values()), proposed


def _on_bounds(gain: Any) -> float:
    """The share of values proposed within 1 % of a bound of a cube of four numbers."""
    space = _space(**{name: {"uniform": [0.0, 1.0]} for name in "wxyz"})
    proposed = [one for seed in range(5) for one in _run(space, seed, gain, 15, noise=0.3)[1]]
    units = np.array([list(values.values()) for values in proposed])
    return float((np.minimum(units, 1 - units) <= 0.01).mean())


@pytest.mark.fault(89)
def test_proposals_do_not_crowd_the_bounds_without_evidence() -> None:
    """Uniform draws are there in 2 % of all cases."""

    def inside(values: Mapping[str, float]) -> float:
        return math.exp(-8 * sum((value - 0.4) ** 2 for value in values.values()))

    assert _on_bounds(inside) < 0.05
    assert _on_bounds(lambda _: 0.5) < 0.05


@pytest.mark.fault(89)
def test_a_bound_is_reached_where_the_best_values_lie_on_it() -> None:
    space = _space(x={"uniform": [0.0, 1.0]}, y={"uniform": [0.0, 1.0]})
    ends = [_run(space, seed, lambda values: values["x"], 25)[0] for seed in range(5)]
    assert np.median([values["x"] for values in itertools.chain(*ends)]) > 0.95


@pytest.mark.fault(89)
def test_proposals_stay_around_the_donor_and_reach_another_value() -> None:
    space = _space(
        x={"log": [1e-4, 1e-2]},
        n={"pow2": [32, 64]},
        m={"int": [1, 100]},
        half={"uniform": [0.0, 1.0], "step": 0.5},
    )
    explorer, donor = _with_history(space), {"x": 1e-3, "n": 32, "m": 50, "half": 0.5}
    proposals = list(explorer.proposals(7000, 0.0, donor))
    assert all(10**-3.4 <= one["x"] <= 10**-2.6 for one in proposals)
    assert {one["n"] for one in proposals} == {32, 64}
    assert all(30 <= one["m"] <= 70 for one in proposals)
    assert {one["half"] for one in proposals} == {0.0, 0.5, 1.0}


def test_it_finds_the_better_end_of_a_logarithmic_scale() -> None:
    space = _space(lr={"log": [1e-5, 1e-1]})
    ends = [_scores(space, seed, lambda values: math.log10(values["lr"]) + 5) for seed in range(5)]
    rates = [math.log10(values["lr"]) for values in itertools.chain(*ends)]
    assert np.median(rates) > -1.5, "random search would give -3"


def test_it_finds_the_option_that_matters() -> None:
    space = _space(act={"choice": ["relu", "tanh", "silu"]}, lr={"uniform": [0.0, 1.0]})
    ends = [_scores(space, seed, lambda values: values["act"] == "silu") for seed in range(5)]
    found = np.mean([values["act"] == "silu" for values in itertools.chain(*ends)])
    assert found > 0.6, "random search would give a third"


def test_a_restored_explorer_continues_with_the_same_proposals() -> None:
    space = constrained_space()
    explorer, other = _with_history(space, seed=1), Pb2Explorer(space, seed=2)
    donor = {**BESIDE, **space.sample(np.random.default_rng(0), BESIDE)}
    explorer.explore("a", 7000, 1.0, donor)
    other.set_state(json.loads(json.dumps(explorer.get_state())))
    for member in "bcd":
        ours, theirs = (one.explore(member, 7000, 1.0, donor) for one in (explorer, other))
        assert ours == theirs
        for one in (explorer, other):
            one.observe(member, 8000, 2.0, ours)
    assert explorer.get_state() == other.get_state()


def test_a_seed_fixes_what_is_explored_and_no_global_generator_is_drawn_from() -> None:
    space = constrained_space()
    donor = {**BESIDE, **space.sample(np.random.default_rng(0), BESIDE)}
    drawn = []
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    for seed in (4, 4, 5):
        explorer = _with_history(space)
        explorer.rng = Pb2Explorer(space, seed).rng
        drawn.append(explorer.explore("a", 9000, 1.0, donor))
    assert drawn[0] == drawn[1] != drawn[2]
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def _process(n: int = 30, seed: int = 0) -> GaussianProcess:
    rng = np.random.default_rng(seed)
    inputs = np.hstack([rng.random((n, 4)), rng.integers(0, 3, (n, 1))])
    return GaussianProcess(inputs, np.sin(5 * inputs[:, 2]) + (inputs[:, 4] == 1), categories=1)


def test_the_gradient_of_the_fit_is_that_of_its_loss() -> None:
    process = _process()
    distances = process._distances(process.inputs, process.inputs)
    prior = Prior.of(ordered=2, categories=1)
    theta = prior.mean + 0.3 * np.random.default_rng(1).standard_normal(len(prior.mean))
    _, gradient = process._loss(theta, distances, prior)
    ends = [
        [process._loss(theta + sign * 1e-5 * axis, distances, prior)[0] for sign in (1, -1)]
        for axis in np.eye(len(theta))
    ]
    assert gradient == pytest.approx([(up - down) / 2e-5 for up, down in ends], abs=1e-6)


def test_the_process_predicts_unseen_points() -> None:
    process, unseen = _process(80), _process(80, seed=1)
    mean, covariance = process.posterior(unseen.inputs)
    assert np.abs(mean - unseen.targets).mean() < 0.1
    assert (np.diag(covariance) > 0).all()


def test_draws_of_the_gain_spread_as_the_process_expects() -> None:
    rng = np.random.default_rng(0)
    rows = [([1000.0 * n, 0.5, x], 1000.0, x) for n, x in enumerate(rng.random(20))]
    model = GainModel(rows, categories=0)
    points = np.array([[20_000.0, 0.5, x] for x in (0.2, 0.2, 0.8)])
    draws = np.array([model.draw(points, rng) for _ in range(200)])
    assert (draws[:, 2] > draws[:, 0]).mean() > 0.95, "the larger gain is drawn, nearly always"
    assert np.ptp(draws[:, 0]) > 0.1, "and not always the same"
    assert draws[:, 0] == pytest.approx(draws[:, 1], abs=1e-4), "equal points have equal gains"


def test_200_observations_are_fitted_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    rows = [([1000.0 * n, *rng.random(8)], 1000.0, float(rng.normal())) for n in range(200)]
    start = time.process_time()
    with threadpool_limits(1, user_api="blas"):  # as in a decision
        GainModel(rows, categories=0)
    assert time.process_time() - start < 1.0


def test_one_collapsed_return_does_not_dominate_the_fit() -> None:
    rows = [([1000.0, 0.0, x], 1000.0, x) for x in np.linspace(0.0, 1.0, 11)]
    model = GainModel([*rows, ([1000.0, 0.0, 0.5], 1000.0, -1e9)], categories=0)
    assert model.rewards[:11] == pytest.approx(np.linspace(0.0, 1.0, 11), abs=0.1)


def test_better_arms_are_drawn_more_and_every_arm_is_kept() -> None:
    arms = [0, 1, 2] * 40
    chances = arm_probabilities(arms, [float(arm == 1) for arm in arms], options=3)
    assert chances.sum() == pytest.approx(1.0)
    assert chances.argmax() == 1
    assert chances[1] > 0.5
    assert chances.min() > 0.02
    assert arm_probabilities([], [], options=4) == pytest.approx([0.25] * 4)


def test_an_arm_that_was_bad_early_comes_back() -> None:
    arms = [0, 1] * 60
    rewards = [float((arm == 0) == (pull < 60)) for pull, arm in enumerate(arms)]
    assert arm_probabilities(arms, rewards, options=2).argmax() == 1


def test_a_single_option_is_always_drawn() -> None:
    assert arm_probabilities([0, 0], [0.0, 1.0], options=1) == pytest.approx([1.0])
