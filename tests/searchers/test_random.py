"""Random search."""

from __future__ import annotations

from rltune.request.resolve import make_spec
from rltune.searchers import build, starting_point
from rltune.searchers.history import History


def test_random_search_starts_from_the_preset() -> None:
    spec = make_spec("ppo", "cartpole", trials=3, seed=2)
    first = starting_point(spec, build(spec), 0, History())
    assert {name: first[name] for name in spec.space} == {
        name: spec.settings[name] for name in spec.space
    }
