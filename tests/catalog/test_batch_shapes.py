"""What trials of one batch have in common."""

from __future__ import annotations

import pytest

from rltune.catalog.algorithms import ALGORITHMS
from rltune.catalog.batches import MEMBERS_OWN, horizon, shape_of


@pytest.mark.parametrize("algo", MEMBERS_OWN)
def test_every_setting_is_a_members_own_or_makes_another_shape(algo: str) -> None:
    settings = dict.fromkeys(ALGORITHMS[algo].settings, 2)
    assert settings.keys() >= MEMBERS_OWN[algo]
    for name in settings:
        same = shape_of(algo, {**settings, name: 5}) == shape_of(algo, settings)
        assert same == (name in MEMBERS_OWN[algo]), name
    assert shape_of(algo, {**settings, "seed": 7, "exploit": None}) == shape_of(algo, settings)


def test_members_share_a_horizon() -> None:
    assert [horizon(n) for n in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 4, 4, 8, 8, 16]
    assert shape_of("dqn", {"n_step": 3}) == shape_of("dqn", {"n_step": 4})
    assert shape_of("dqn", {"n_step": 2}) != shape_of("dqn", {"n_step": 4})
