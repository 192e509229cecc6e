"""What a script changed in a config, and what becomes of it: see config_attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

from rltune.algorithms.config_attributes import (
    ACTS,
    FALLBACK,
    MODEL_KEYS,
    NOT_READ,
    NOTHING,
    REFUSED,
)
from rltune.errors import did_you_mean

MODEL_DEFAULTS = dataclasses.asdict(DefaultModelConfig())
_UNKNOWN_MODEL_KEY = "no key of RLlib's DefaultModelConfig"


def _defaults(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes of a new config of rltune's, and of the one of RLlib's that it extends."""
    config_class: Any = type(config)
    return _defaults_of(config_class)


@cache
def _defaults_of(config_class: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    theirs = next(base for base in config_class.mro() if base.__module__.startswith("ray.rllib"))
    return vars(config_class()), vars(theirs())


def changed(config: Any) -> dict[str, Any]:
    """Attributes of RLlib's, and unknown ones, that have neither rltune's default nor RLlib's."""
    ours, theirs = _defaults(config)
    return {
        name: value
        for name, value in vars(config).items()
        if (name in theirs or name not in ours)
        and not (name == "class" or name.startswith("__"))  # RLlib's from_state and Tune leave them
        and not any(name in known and _same(value, known[name]) for known in (ours, theirs))
    }


def reasons_for_fallback(config: Any) -> list[str]:
    """What the array engine does not do, in words; an attribute without a place here, too."""
    found = []
    for name, value in changed(config).items():
        treatment, why = config.config_attributes.get(name, (FALLBACK, ""))
        if treatment == FALLBACK:
            found.append(why or f"{name}={value!r:.60}")
    model = _model_changes(config)
    found += [
        MODEL_KEYS[key][1] for key in model if MODEL_KEYS.get(key, (NOTHING, ""))[0] == FALLBACK
    ]
    return list(dict.fromkeys(found))


def refusals(config: Any) -> list[str]:
    """Attributes that neither engine acts on, each with the reason."""
    ours, theirs = _defaults(config)
    found = []
    for name in changed(config):
        treatment, why = config.config_attributes.get(name, (FALLBACK, ""))
        if name not in theirs and name not in config.config_attributes:
            found.append(
                f"{name}: no setting of {config.algorithm}.{did_you_mean(name, {*ours, *theirs})}"
            )
        elif treatment == REFUSED:
            found.append(f"{name}: {why}")
    found += [f"model_config: {text}" for text in _model_refusals(config)]
    if lost := lost_model_keys(config):
        found.append(f"model: {', '.join(lost)}: {NOT_READ}; use rl_module(model_config=...)")
    return found


def lost_model_keys(config: Any) -> list[str]:
    """Keys of ``model`` that were given: RLlib's new API stack reads its ``model_config`` alone."""
    if not config.enable_rl_module_and_learner:
        return []
    _, theirs = _defaults(config)
    old = theirs["model"]
    return [
        key
        for key, value in config.model.items()
        if not key.startswith("_") and not _same(value, old.get(key))
    ]


def _model_changes(config: Any) -> dict[str, Any]:
    """Keys of the model config that were given and differ from RLlib's default."""
    given = config._model_config
    given = given if isinstance(given, dict) else dataclasses.asdict(given)
    return {
        key: value
        for key, value in given.items()
        if key not in MODEL_DEFAULTS or not _same(value, MODEL_DEFAULTS[key])
    }


def _model_refusals(config: Any) -> Iterable[str]:
    yield from unknown_model_keys(config)
    if config._rl_module_spec is not None:
        return
    for key in _model_changes(config):
        treatment, why = MODEL_KEYS.get(key, (ACTS, ""))
        if treatment == REFUSED:
            yield f"{key}: {why}"


def unknown_model_keys(config: Any) -> Iterable[str]:
    """What is wrong with keys of the network's config that RLlib does not know."""
    if config._rl_module_spec is not None:
        return  # a module of your own may read any key
    known = {*MODEL_KEYS, *config._model_config_auto_includes}
    for key in _model_changes(config):
        if key not in known:
            yield f"{key}: {_UNKNOWN_MODEL_KEY}.{did_you_mean(key, known)}"


def beyond_layers(model_config: Mapping[str, Any]) -> bool:
    """Whether a network's config asks for more than rltune's own networks do.

    They have sizes and activations of their layers; RLlib's have initializers, norms and filters.
    """
    plain = ("fcnet_hiddens", "fcnet_activation")
    return any(
        not _same(model_config.get(key, default), default)
        for key, default in MODEL_DEFAULTS.items()
        if key.startswith(("fcnet_", "conv_")) and key not in plain
    )


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    try:
        return bool(value == default)
    except Exception:  # arrays, or objects of a user's
        return False
