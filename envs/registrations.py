"""What gymnasium's ids stand for: a user may register another environment under a known id."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from runpy import run_module
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from rltune.envs.places import load, split

#: Package whose import registers gymnasium's own environments.
GYMNASIUM = "gymnasium.envs"

#: What each loaded module registered under the ids that it was asked for.
_by_module: WeakKeyDictionary[ModuleType, dict[str, EnvSpec]] = WeakKeyDictionary()


def registered(env_id: str) -> EnvSpec:
    """Returns the specification of an id, as the module of ``module:Id-v0`` registered it.

    What another module has registered under the same id since then is another environment.

    Raises:
        ImportError: the module does not exist.
        gymnasium.error.Error: there is no such id.
    """
    place, name = split(env_id)
    if not place:
        return gym.spec(name)
    module = load(place)
    kept, latest = _by_module.setdefault(module, {}), gym.spec(name)
    if name not in kept or is_from(latest, module.__name__):
        kept[name] = latest
    return kept[name]


def is_from(spec: EnvSpec, module: str) -> bool:
    """Whether what makes a registered environment is of a module, or of one within it."""
    return f"{_text(spec.entry_point).partition(':')[0]}.".startswith(f"{module}.")


def is_stock(spec: EnvSpec, packages: Iterable[str] = (GYMNASIUM,)) -> bool:
    """Whether an environment is registered as one of these packages registers it."""
    loaded = [package for package in packages if package in sys.modules]
    return any(_described(_of(each).get(spec.id)) == _described(spec) for each in loaded)


def stock_ids() -> Iterable[str]:
    """Returns the ids that gymnasium itself registers."""
    return _of(GYMNASIUM)


@cache
def _of(package: str) -> Mapping[str, EnvSpec]:
    """Returns what a package registers when it is imported, whatever stands in its place now."""
    before = dict(gym.registry)
    with warnings.catch_warnings(action="ignore"):  # of ids that are registered again
        run_module(f"{package}.__init__", run_name=package)
    own = {name: spec for name, spec in gym.registry.items() if spec is not before.get(name)}
    gym.registry.clear()
    gym.registry.update(before)
    return own


def _described(spec: EnvSpec | None) -> dict[str, str]:
    """Returns all that a specification says, in comparable words."""
    return {name: _text(value) for name, value in vars(spec).items()} if spec else {}


def _text(value: Any) -> str:
    """Returns ``module:name`` of an entry point, and the representation of anything else."""
    if isinstance(value, str):
        return value
    if callable(value):
        return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', repr(value))}"
    return repr(value)
