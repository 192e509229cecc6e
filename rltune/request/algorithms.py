"""An algorithm of RLlib's with its own settings, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from rltune import catalog
from rltune.envs import places
from rltune.errors import BadInput
from rltune.space import Searched, Space, config_of
from rltune.space.nesting import SEPARATOR

#: Settings of RLlib's that shape the network or the environment.
STRUCTURAL = frozenset(
    {
        *("env", "env_config", "model", "model_config", "rl_module_spec", "framework_str"),
        *("dueling", "num_atoms", "noisy", "twin_q"),
    }
)


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
    """Makes RLlib's config of each end of each range.

    Raises:
        BadInput: RLlib refuses a value, or trials would not all need the same resources.
    """
    base = searched.middle()
    needs = _tried(place, base, searched.derived, "settings")
    for name, parameter in searched.space.items():
        for value in parameter.ends():
            what = f"space {name} = {value!r}"
            if _tried(place, {**base, name: value}, searched.derived, what) != needs:
                raise BadInput(
                    f"space {name}: trials at different values need different resources, and all "
                    "have the same: fix it with `settings`"
                )


def bundles_of(
    place: str, settings: Mapping[str, Any], derived: Mapping[str, str]
) -> list[dict[str, float]]:
    """What Ray sets aside for the processes of one trial, its own first."""
    config = config_of(settings, derived)
    bundles: list[dict[str, float]] = _stock().bundles(places.find(place), config)
    return bundles


def _tried(
    place: str, settings: Mapping[str, Any], derived: Mapping[str, str], what: str
) -> list[dict[str, float]]:
    try:
        return bundles_of(place, settings, derived)
    except BadInput as error:
        raise BadInput([f"{what}: {problem}" for problem in error.problems]) from error
    except Exception as error:  # RLlib's checks raise anything
        told = f"{type(error).__name__}: {error}"
        raise BadInput(f"{what}: RLlib's {places.split(place)[1]} refuses it: {told}") from error


def _stock() -> Any:
    # With RLlib, which takes seconds: no other function needs it.
    return import_module("rltune.algorithms.stock")
