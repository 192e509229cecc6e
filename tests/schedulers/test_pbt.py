"""PBT's explorer."""

from __future__ import annotations

import json

import numpy as np
from spaces import DRAWS, constrained_space

from rltune.schedulers.pbt import PbtExplorer
from rltune.space import Space, parse_parameter

START = {"settled": 8}


def test_proposals_keep_domains_and_constraints() -> None:
    space = constrained_space()
    explorer = PbtExplorer(space, seed=3)
    values = space.sample(np.random.default_rng(0), START)
    for step in range(DRAWS):
        proposal = explorer.explore("a", step, 1.0, {**START, **values})
        assert space.contains({**START, **proposal})
        assert space.changes(values, proposal)
        values = proposal


def test_each_value_is_resampled_with_the_given_probability_or_stepped() -> None:
    space = Space({"lr": parse_parameter("lr", {"log": [1e-6, 1.0]})})
    explorer = PbtExplorer(space, seed=0, resample_probability=0.4)
    drawn = [explorer.explore("a", 0, 1.0, {"lr": 1e-3})["lr"] for _ in range(4000)]
    down, up = (np.isclose(drawn, factor * 1e-3, rtol=1e-9).mean() for factor in (0.8, 1.2))
    assert abs(down + up - 0.6) < 0.03
    assert abs(down - up) < 0.03


def test_without_resampling_every_value_takes_one_step() -> None:
    space = Space(
        {
            "lr": parse_parameter("lr", {"log": [1e-5, 1e-1]}),
            "batch": parse_parameter("batch", {"pow2": [16, 256]}),
        }
    )
    explorer = PbtExplorer(space, seed=0, resample_probability=0.0)
    seen = [explorer.explore("a", 0, 1.0, {"lr": 1e-3, "batch": 64}) for _ in range(100)]
    assert {values["batch"] for values in seen} == {32, 128}
    assert {round(values["lr"], 9) for values in seen} == {8e-4, 1.2e-3}


def test_a_restored_explorer_continues_with_the_same_proposals() -> None:
    space = constrained_space()
    explorer, other = PbtExplorer(space, seed=1), PbtExplorer(space, seed=2)
    donor = {**START, **space.sample(np.random.default_rng(0), START)}
    explorer.explore("a", 0, 1.0, donor)
    other.set_state(json.loads(json.dumps(explorer.get_state())))
    for _ in range(20):
        assert explorer.explore("a", 0, 1.0, donor) == other.explore("a", 0, 1.0, donor)
