"""Settings that a function computes from the others: Ray Tune's ``tune.sample_from``.

A run keeps the import path of the function, or the text of a lambda. Each trial calls it when it
starts, and again after an exploit, with the settings in effect then.
"""

from __future__ import annotations

import inspect
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Never

import numpy as np

from rltune.envs import places
from rltune.errors import BadInput
from rltune.space.expressions import LAMBDA, compiled
from rltune.space.lambdas import is_lambda, text_of
from rltune.space.nesting import nested
from rltune.space.values import plain


class Unresolved(Exception):
    """A derived setting needs another one that has no value yet."""


def reference(function: Callable[..., Any]) -> str:
    """Returns what a run keeps of a function: its import path, or the text of a lambda.

    Raises:
        ValueError: there is none; the message says why and how to fix it.
    """
    return text_of(function) if is_lambda(function) else places.place_of(function)


def is_expression(value: object) -> bool:
    """Returns whether a value is ``{"eval": "spec.config.lr * 2"}``, as Tune and TOML write one."""
    return isinstance(value, Mapping) and list(value) == ["eval"] and isinstance(value["eval"], str)


def of_expression(text: str) -> str:
    """Returns what a run keeps of the text of an expression over ``spec.config``.

    Raises:
        ValueError: it is more than arithmetic on settings.
    """
    text = f"{LAMBDA} spec: {text}"
    compiled(text)
    return text


def is_text(derived: str) -> bool:
    """Returns whether what a run keeps is the text of a lambda, which runs no code of its own."""
    return derived.startswith(LAMBDA)


def config_of(
    settings: Mapping[str, Any], derived: Mapping[str, str], seed: int = 0
) -> dict[str, Any]:
    """Returns the nested configuration that a function gets, see :func:`with_derived`."""
    return nested(with_derived(settings, derived, seed))


def with_derived(
    settings: Mapping[str, Any], derived: Mapping[str, str], seed: int = 0
) -> dict[str, Any]:
    """Returns settings by flat name, with those that are computed from the others.

    Args:
        settings: values by flat name.
        derived: import path, or text, of the function of each derived setting, by flat name.
        seed: training seed of the trial. Derived settings that draw from the global generators of
            ``random`` and numpy draw the same values for the same seed.

    Raises:
        BadInput: a function fails, or derived settings depend on each other.
    """
    values, waiting = dict(settings), dict(derived)
    while waiting:
        resolved = {}
        for name, place in waiting.items():
            config = _Config.of(nested({**values, **dict.fromkeys(waiting, _WAITING)}))
            with _seeded(seed, name):
                try:
                    resolved[name] = _computed(name, place, config)
                except Unresolved:
                    continue
        if not resolved:
            raise BadInput(f"{', '.join(waiting)}: these derived settings depend on each other")
        values |= resolved
        waiting = {name: place for name, place in waiting.items() if name not in resolved}
    return values


def _computed(name: str, place: str, config: _Config) -> Any:
    try:
        return plain(_called(compiled(place) if is_text(place) else places.find(place), config))
    except Unresolved:
        raise
    except Exception as error:  # a user's function may raise anything
        raise BadInput(
            f"{name}: {place} cannot compute it: {type(error).__name__}: {error}"
        ) from error


def _called(function: Callable[..., Any], config: _Config) -> Any:
    """Calls a function of the configuration, of nothing, or of a spec with a ``config``."""
    try:
        inspect.signature(function).bind(config)
    except TypeError:
        return function()
    try:
        return function(config)
    except (AttributeError, KeyError) as error:
        try:
            return function(_Config({"config": config}))
        except (AttributeError, KeyError):
            raise error from None


#: Stands for a derived setting without a value.
_WAITING = object()


class _Config(dict[str, Any]):
    """A configuration whose entries are attributes too; those that wait raise Unresolved."""

    waiting: frozenset[str] = frozenset()

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> _Config:
        """Wraps nested tables, and sets entries aside that wait."""
        config = cls(
            (key, cls.of(value) if isinstance(value, dict) else value)
            for key, value in table.items()
            if value is not _WAITING
        )
        config.waiting = frozenset(table.keys() - config.keys())
        return config

    def __missing__(self, key: str) -> Never:
        raise Unresolved if key in self.waiting else KeyError(key)

    def __getattr__(self, key: str) -> Any:
        if key in self or key in self.waiting:
            return self[key]
        raise AttributeError(key)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self.waiting else super().get(key, default)


@contextmanager
def _seeded(seed: int, name: str) -> Iterator[None]:
    """Seeds the global generators for one setting, and puts their states back."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    own = np.random.default_rng([seed, zlib.crc32(name.encode())])
    random.seed(int(own.integers(2**32)))
    np.random.seed(int(own.integers(2**32)))  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
