"""The environments that a user names, each found and tried before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rltune import catalog
from rltune.catalog.algorithms import algorithm
from rltune.catalog.environments import EnvLike
from rltune.catalog.probe import Probe
from rltune.envs import EnvInfo
from rltune.errors import BadInput
from rltune.request import preflight, secrets
from rltune.request.asked import Request

A = TypeVar("A")
B = TypeVar("B")
#: What a user names as environments.
EnvsLike = EnvLike | Sequence[EnvLike]


@dataclass(frozen=True)
class Share:
    """One of the environments that a user named.

    Attributes:
        name: by which metrics, folders and options call it.
        env_args: encoded, without secrets.
    """

    name: str
    info: EnvInfo
    env_args: Mapping[str, Any]
    probe: Probe


def names(env: EnvsLike) -> list[EnvLike]:
    """The environments that are named.

    Raises:
        BadInput: there is none, or an empty one among them.
    """
    if isinstance(env, str):
        is_path = Path(env.rpartition(":")[0] or env).exists()
        found: list[EnvLike] = [env] if is_path else [word.strip() for word in env.split(",")]
    else:
        found = list(env) if isinstance(env, list | tuple) else [env]  # type: ignore[list-item]
    if not found or (len(found) > 1 and "" in found):
        raise BadInput(f"environments {env!r}: write them as cartpole,acrobot")
    return found


def looked_at(algo: str, env: EnvsLike, asked: Request) -> list[Share]:
    """Finds and tries the environments that are named.

    Raises:
        BadInput: with what is wrong in each of them.
    """
    imports = asked.env_options.imports
    infos = each_of(names(env), lambda one: catalog.environment(one, imports))
    labels = _labels(infos)
    env_args = arguments(asked.env_options.env_args, infos, labels)

    def tried(label: str) -> Share:
        info = infos[labels.index(label)]
        probe = preflight.check_environment(
            info, algorithm(algo), env_args[label], asked.env_options.env_timeout
        )
        return Share(label, info, env_args[label], probe)

    shares = each_of(labels, tried)
    if len({share.probe.shows_images for share in shares}) > 1:
        seen = {True: "images", False: "vectors"}
        shown = ", ".join(f"{one.name} ({seen[one.probe.shows_images]})" for one in shares)
        raise BadInput(
            f"observations of these environments are of two kinds: {shown}. They need other "
            "networks, so that no setting is one for all: tune each kind by itself"
        )
    return shares


def _labels(infos: Sequence[EnvInfo]) -> list[str]:
    """Names of environments that folders and metrics can have, each once.

    Raises:
        BadInput: an environment is named twice.
    """
    ids = [info.id for info in infos]
    if twice := sorted({info.name for info in infos if ids.count(info.id) > 1}):
        raise BadInput(f"{', '.join(twice)}: named more than once, an environment counts once")
    found: list[str] = []
    for info in infos:
        own = info.name.rpartition(":")[2]
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", own).strip("-") or "environment"
        copies = sum(re.fullmatch(rf"{re.escape(plain)}(-\d+)?", one) is not None for one in found)
        found.append(f"{plain}-{copies + 1}" if plain in found else plain)
    return found


def arguments(
    given: Mapping[str, Any], infos: Sequence[EnvInfo], labels: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """The arguments of each environment, encoded; of several, keys name it: ``cartpole:gravity``.

    Raises:
        BadInput: an argument names none of them.
    """
    if len(labels) == 1:
        return {labels[0]: secrets.hide(given)}
    found: dict[str, dict[str, Any]] = {label: {} for label in labels}
    problems = []
    for key, value in given.items():
        place, _, name = key.rpartition(":")
        owners = [
            label
            for label, info in zip(labels, infos, strict=True)
            if place in (label, info.name, info.id)
        ]
        if owners and name:
            found[owners[0]][name] = value
        else:
            problems.append(
                f"env_args {key}: say of which environment it is an argument: {labels[0]}:{name}"
            )
    if problems:
        raise BadInput(problems)
    hidden: dict[str, Mapping[str, Any]] = secrets.hide(found)
    return hidden


def each_of(items: Sequence[A], work: Callable[[A], B]) -> list[B]:
    """What some work returns for each item; all their problems at once."""
    done: list[B] = []
    problems: list[str] = []
    for item in items:
        try:
            done.append(work(item))
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return done
