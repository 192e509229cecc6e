"""An algorithm of RLlib's with its own settings, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from itertools import combinations, product
from typing import Any

import numpy as np

from rltune import catalog
from rltune.envs import places
from rltune.errors import BadInput
from rltune.space import Parameter, Searched, Space, config_of
from rltune.space.nesting import SEPARATOR

#: Settings of RLlib's that shape the network or the environment.
STRUCTURAL = frozenset(
    {
        *("env", "env_config", "model", "model_config", "rl_module_spec", "framework_str"),
        *("dueling", "num_atoms", "noisy", "twin_q"),
    }
)

#: How settings that RLlib refuses together are kept apart.
ADVICE = "\nSay in the space what must hold: constraints = ['minibatch_size <= train_batch_size']"


def algorithm_place(name: str) -> str:
    """The import path of one of RLlib's algorithms. Raises BadInput where there is none."""
    place: str = _stock().place_of(name)
    return place


def with_env(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings with their environment, a class or a name, as a name that workers know.

    Raises:
        BadInput: there is no such environment; names the nearest.
    """
    env = settings.get("env")
    if env is None or isinstance(env, Mapping) or hasattr(env, "sample"):
        return settings
    return {**settings, "env": catalog.environment(env).id}


def changeable(space: Space) -> Space:
    """The part of a space that may change while an algorithm trains."""
    return space.only({name for name in space if name.split(SEPARATOR)[0] not in STRUCTURAL})


def check_algorithm(place: str, searched: Searched) -> None:
    """Makes RLlib's config of each end of each range, and of those of every two together.

    What the constraints of the space rule out is left out.

    Raises:
        BadInput: RLlib refuses a value, or two of them together; or trials would not all need the
            same resources.
    """
    space, base = searched.space, searched.middle()
    if space.broken(base):
        base |= space.sample(np.random.default_rng(0), base)
    needs = _tried(place, base, searched.derived)
    for name, value in ((name, end) for name, each in space.items() for end in each.ends()):
        values = {**base, name: value}
        if not space.broken(values):
            what = f"space {name} = {value!r}"
            if _tried(place, values, searched.derived, what) != needs:
                raise BadInput(
                    f"space {name}: trials at different values need different resources, and all "
                    "have the same: fix it with `settings`"
                )
    numbers = {name: ends for name in space if (ends := _numbers(space[name]))}
    for one, other in combinations(numbers, 2):
        for a, b in product(numbers[one], numbers[other]):
            values = {**base, one: a, other: b}
            if not space.broken(values):
                what = f"space {one} = {a!r} with {other} = {b!r}"
                _tried(place, values, searched.derived, what, ADVICE)


def _numbers(parameter: Parameter) -> list[float]:
    """The smallest and the largest value of a parameter; none where one is no number."""
    ends = parameter.ends()
    return [] if any(not isinstance(end, int | float) for end in ends) else [min(ends), max(ends)]


def bundles_of(
    place: str, settings: Mapping[str, Any], derived: Mapping[str, str]
) -> list[dict[str, float]]:
    """What Ray sets aside for the processes of one trial, its own first."""
    config = config_of(settings, derived)
    bundles: list[dict[str, float]] = _stock().bundles(places.find(place), config)
    return bundles


def _tried(
    place: str,
    settings: Mapping[str, Any],
    derived: Mapping[str, str],
    what: str = "settings",
    advice: str = "",
) -> list[dict[str, float]]:
    try:
        return bundles_of(place, settings, derived)
    except BadInput as error:
        if what == "settings":  # each problem names its own
            raise
        raise BadInput([f"{what}: {problem}" for problem in error.problems]) from error
    except Exception as error:  # RLlib's checks raise anything
        told = f"{type(error).__name__}: {error}"
        name = places.split(place)[1]
        raise BadInput(f"{what}: RLlib's {name} refuses it: {told}{advice}") from error


def _stock() -> Any:
    # With RLlib, which takes seconds: no other function needs it.
    return import_module("rltune.algorithms.stock")
