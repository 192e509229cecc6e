"""The config of an algorithm of RLlib's, with settings that are checked before RLlib sees them.

RLlib accepts a discount of 2, a negative learning rate or an unknown key without a word, and its
own checks never return for some values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.registry import register_env

from rltune import envs
from rltune.algorithms import register_envs
from rltune.algorithms.config_changes import lost_model_keys, unknown_model_keys
from rltune.catalog.algorithms import ALGORITHMS
from rltune.catalog.settings import Flag, Number, Schedule, Setting
from rltune.errors import BadInput, did_you_mean

#: RLlib's word for a value that it chooses itself.
AUTO = "auto"
#: Settings of which RLlib also takes a list: a range to draw from.
RANGES = ("n_step",)
#: Settings whose bounds in the catalog are rltune's, and not RLlib's.
OTHERWISE = ("min_sample_timesteps_per_iteration",)
#: The new stack's name of a setting that the catalog has by the old one's.
RENAMED = {"train_batch_size_per_learner": "train_batch_size"}
#: The settings of the network, which RLlib's config takes by a method alone.
MODEL = "model_config"


def configured(kind: type[Algorithm], settings: Mapping[str, Any]) -> Any:
    """The config of an algorithm with settings by RLlib's names.

    Raises:
        BadInput: RLlib's config has no such key, or a value cannot be: RLlib would accept it.
        Exception: RLlib's own, for a value that it does not take.
    """
    config = kind.get_default_config()
    if problems := list(_problems(kind, config, settings)):
        raise BadInput(problems)
    values = {name: value for name, value in settings.items() if name != MODEL}
    if "env" in values:
        values["env"] = _env(values["env"])
    config = config.update_from_dict(values)
    if MODEL in settings:
        config = config.rl_module(model_config=dict(settings[MODEL]))
    if lost := lost_model_keys(config):
        raise BadInput(f"model: {', '.join(lost)}: RLlib does not read it; use {MODEL}")
    if problems := [f"{MODEL}: {text}" for text in unknown_model_keys(config)]:
        raise BadInput(problems)
    config.validate()
    return config


def _problems(kind: type[Algorithm], config: Any, settings: Mapping[str, Any]) -> Iterator[str]:
    known = {name.lstrip("_") for name in (*vars(config), *config.to_dict())}
    for name, value in settings.items():
        if name not in known:
            of = f"of RLlib's {kind.__name__}"
            yield f"unknown setting {name!r} {of}.{did_you_mean(name, known)}"
        elif problem := value_problem(name, value, getattr(config, name, None)):
            yield f"{name}: {problem}"


def value_problem(name: str, value: Any, default: Any) -> str | None:
    """What is wrong with a value, by what the catalog knows of settings of that name.

    Where algorithms differ, one that allows it is enough. What a setting may be beside a number or
    a flag is left to RLlib.

    Args:
        default: RLlib's.
    """
    if value is None or value in (default, AUTO) or name in OTHERWISE:
        return None
    if name == MODEL:
        return None if isinstance(value, Mapping) else f"expected a table, got {value!r}"
    if isinstance(value, str) and isinstance(default, int | float):
        return (
            f"expected {'true or false' if default in (True, False) else 'a number'}, got {value!r}"
        )
    asked = RENAMED.get(name, name)
    rows = [row.settings[asked] for row in ALGORITHMS.values() if asked in row.settings]
    problems = [_problem(each, value) for each in rows]
    if isinstance(value, list | tuple) and name in RANGES:
        return None
    return problems[0] if problems and all(problems) else None


def _problem(setting: Setting, value: Any) -> str | None:
    """What is wrong with a value for one algorithm, where that is for RLlib as well."""
    if isinstance(setting, Flag):
        return setting.problem(value) if isinstance(value, str) else None
    if not isinstance(setting, Number):
        return None
    if isinstance(setting, Schedule) and isinstance(value, list | tuple):
        return None
    return setting.problem(value)


def _env(name: Any) -> Any:
    """An environment as RLlib takes one: rltune's names and import paths are made known to it."""
    if not isinstance(name, str):
        return name
    register_envs()
    if ":" not in name or envs.known(name) is not None:
        return name
    found = envs.own_creator(name)
    if isinstance(found, type):
        return found
    if found is None:
        envs.registered(name)  # raises for an id that nobody has registered
    register_env(name, found or partial(envs.construct, name))
    return name
