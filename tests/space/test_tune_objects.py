"""Ray Tune's domains are searched as Tune draws from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tune_domains
from ray import tune
from ray.tune.search.sample import Categorical, Float, Integer, Quantized, Uniform
from scipy.stats import ks_2samp

from rltune.errors import BadInput
from rltune.space import space_of

DRAWS = 4000

DOMAINS: dict[str, tuple[Any, dict[str, Any]]] = {
    "uniform": (tune.uniform(-1, 2), {"uniform": [-1.0, 2.0]}),
    "quniform": (tune.quniform(0.1, 0.5, 0.1), {"uniform": [0.1, 0.5], "step": 0.1}),
    "loguniform": (tune.loguniform(1e-4, 1e-1), {"log": [1e-4, 1e-1]}),
    "qloguniform": (tune.qloguniform(0.5, 8, 0.5), {"log": [0.5, 8.0], "step": 0.5}),
    "randn": (tune.randn(10, 2), {"normal": [10.0, 2.0]}),
    "qrandn": (tune.qrandn(0, 1, 0.4), {"normal": [0.0, 1.0], "step": 0.4}),
    "randint": (tune.randint(3, 9), {"int": [3, 8]}),
    "qrandint": (tune.qrandint(10, 100, 15), {"int": [15, 90], "step": 15}),
    "qrandint of one": (tune.qrandint(3, 9, 1), {"int": [3, 8]}),
    "qrandint with one value": (tune.qrandint(4, 7, 5), {"int": [5, 5]}),
    "lograndint": (tune.lograndint(2, 200), {"log_int": [2, 199]}),
    "qlograndint": (tune.qlograndint(8, 512, 8), {"log_int": [8, 512], "step": 8}),
    "a range without a sampler": (Float(0, 1), {"uniform": [0.0, 1.0]}),
    "choice": (tune.choice([None, 3, "relu", (64, 64)]), {"choice": [None, 3, "relu", [64, 64]]}),
    "grid_search": (tune.grid_search([1, 2]), {"grid": [1, 2]}),
    "grid": (Categorical([1, 2]).grid(), {"grid": [1, 2]}),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_of_tune_becomes_a_parameter(name: str) -> None:
    domain, body = DOMAINS[name]
    searched = space_of({"model": {"x": domain}, "fixed": 3})
    assert searched.space.to_dict() == {"model/x": body}
    assert searched.settings == {"fixed": 3}


@pytest.mark.parametrize("name", [name for name in DOMAINS if name not in ("grid_search", "grid")])
def test_both_draw_the_same_values(name: str) -> None:
    domain, _ = DOMAINS[name]
    parameter, rng = space_of({"x": domain}).space["x"], np.random.default_rng(0)
    ours = [parameter.sample(rng) for _ in range(DRAWS)]
    theirs = [domain.sample(random_state=rng) for _ in range(DRAWS)]
    if name == "choice":
        theirs = [list(value) if isinstance(value, tuple) else value for value in theirs]
        ours, theirs = ([parameter.to_unit(value) for value in drawn] for drawn in (ours, theirs))
    assert {type(value) for value in ours} == {type(value) for value in theirs}
    assert all(parameter.contains(value) for value in theirs if name != "choice")
    if parameter.step is not None and parameter.kind not in ("normal", "log_int"):
        assert {round(value, 9) for value in ours} == {round(value, 9) for value in theirs}
    assert ks_2samp(np.round(ours, 9), np.round(theirs, 9)).pvalue > 1e-3


def test_tune_s_objects_mix_with_rltune_s_and_with_constants() -> None:
    searched = space_of(
        {
            "lr": tune.loguniform(1e-4, 1e-1),
            "model": {
                "hidden": {"pow2": [8, 64]},
                "act": tune.choice(["relu", "tanh"]),
                "double": tune.sample_from(tune_domains.double),
            },
            "env": "CartPole-v1",
        }
    )
    assert list(searched.space) == ["lr", "model/hidden", "model/act"]
    assert searched.settings == {"env": "CartPole-v1"}
    assert searched.derived == {"model/double": "tune_domains:double"}
    searched.check()


class Odd(Uniform):
    """A sampler of a user's own."""


def _within() -> Any:
    def local(config: Any) -> int:
        return 3

    return tune.sample_from(local)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (tune.choice([Odd, int]), "x: <class .*Odd'> cannot be kept in a run folder"),
        (tune.choice([]), "x: a choice needs a list of at least one option"),
        (tune.choice([tune.uniform(0, 1), 3]), "x: what is searched cannot be inside a list"),
        ([tune.uniform(0, 1), 3], "x: what is searched cannot be inside a list"),
        (tune.randint(5, 5), "x: there is no value between 5 and 5: an upper bound is exclusive"),
        (tune.qrandint(11, 14, 5), "x: there is no value between 11 and 14"),
        (tune.qrandint(10, 100, 2.5), "x: the step of an integer must be a whole number"),
        (Float(0, None), "x: uniform = .* both bounds must be finite"),
        (_within(), "x: local is defined within a function, .* top level of a module"),
    ],
)
def test_what_cannot_be_searched_is_refused(value: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        space_of({"x": value})


def test_a_sampler_of_a_user_s_own_is_refused() -> None:
    domain = Integer(0, 9)
    domain.set_sampler(Odd())
    quantised = Float(0, 9)
    quantised.set_sampler(Quantized(Odd(), 3))
    for value in (domain, quantised):
        with pytest.raises(BadInput, match=r"x: .* with the sampler Odd is none of Tune's own"):
            space_of({"x": value})
