"""Command lines that rltune prints for a user to type, whole: they work when they are pasted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rltune import envs
from rltune.catalog import toml
from rltune.envs.arguments import FLOAT, NONE, TAG
from rltune.metric import RETURN
from rltune.spec import RunSpec

#: Linux takes no longer word on a command line.
LONGEST_WORD = 100_000


def with_preset(spec: RunSpec, preset: str | Path, train: bool = False) -> str:
    """The command that starts from a preset file, in a run's environment and for its metric.

    Args:
        train: trains its settings on several seeds; else they are where a search starts.
    """
    verb = "rltune train" if train else "rltune"
    words = ["--preset", str(preset)]
    if spec.objective and not train:
        words.append(f"--objective={','.join(spec.objective)}")
    elif spec.goal != RETURN and not spec.environments:
        words += ["--metric", spec.metric, "--mode", spec.mode]
    return " ".join([verb, spec.algo, environment(spec), shlex.join(words)])


def environment(spec: RunSpec) -> str:
    """The words that name a run's environments, with all that they need."""
    singles = spec.singles
    names = [one.env if one.env in envs.INFOS else one.env_id for one in singles]
    words = [",".join(names)]
    for single, label in zip(singles, _labels(spec), strict=True):
        for name, value in single.env_options.env_args.items():
            if (word := _argument(f"{label}{name}", value)) is not None:
                words += ["--env-arg", word]
    for one in spec.environments:
        info = envs.known(one.env_id)
        if info is None or one.env_args or info.threshold != one.threshold:
            words += ["--threshold", f"{one.name}={one.threshold:g}"]
    for module in spec.env_options.imports:
        words += ["--import", module]
    pooled = [one for one in singles if (known := envs.known(one.env_id)) and known.pooled]
    simulators = {one.env_options.simulator for one in pooled}  # elsewhere there is no choice
    # Of several environments not all can have the other one; by itself each gets it again.
    if simulators and (len(singles) == 1 or simulators == {"gymnasium"}):
        words += ["--simulator", simulators.pop()]
    return " ".join(map(shlex.quote, words))


def _labels(spec: RunSpec) -> list[str]:
    """What the names of an environment's arguments begin with."""
    return [f"{one.name}:" for one in spec.environments] or [""]


def unsayable(spec: RunSpec) -> list[str]:
    """Names of arguments that no command line can hold."""
    return [
        f"{label}{name}"
        for single, label in zip(spec.singles, _labels(spec), strict=True)
        for name, value in single.env_options.env_args.items()
        if _argument(name, value) is None
    ]


def _argument(name: str, value: Any) -> str | None:
    """``name=value`` as ``--env-arg`` reads it; None where it cannot be said."""
    try:
        word = f"{name}={toml.written(_without_null(value))}"
        word.encode()
    except ValueError:
        return None
    return word if name and "=" not in name and len(word) <= LONGEST_WORD else None


def _without_null(value: Any) -> Any:
    """An encoded argument without JSON's null, which TOML has no word for."""
    if value is None:
        return {TAG: NONE.name, "value": ""}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get(TAG) == FLOAT.name:
        return float(value["value"])
    return {key: _without_null(item) for key, item in value.items()}
