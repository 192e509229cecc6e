"""A request of several environments: ``cartpole,acrobot,lunarlander``.

One setting is judged by the mean over them of scores on a scale of their own, from a random policy
(0) to the threshold (1). Settings, space and budget are those of the first one's preset.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from rltune import catalog
from rltune.catalog.algorithms import algorithm
from rltune.catalog.environments import EnvLike
from rltune.catalog.probe import Probe
from rltune.engine.metric_names import NORMALIZED, REWARD
from rltune.environments import Environment
from rltune.envs import EnvInfo
from rltune.errors import BadInput, did_you_mean, keyword
from rltune.request import preflight, secrets
from rltune.request.asked import Request
from rltune.request.env_copies import RUNNERS
from rltune.request.random_scores import random_score
from rltune.spec import RunSpec, largest

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
    infos = _each(names(env), lambda one: catalog.environment(one, imports))
    labels = _labels(infos)
    env_args = arguments(asked.env_options.env_args, infos, labels)

    def tried(label: str) -> Share:
        info = infos[labels.index(label)]
        probe = preflight.check_environment(
            info, algorithm(algo), env_args[label], asked.env_options.env_timeout
        )
        return Share(label, info, env_args[label], probe)

    shares = _each(labels, tried)
    if len({share.probe.shows_images for share in shares}) > 1:
        seen = {True: "images", False: "vectors"}
        shown = ", ".join(f"{one.name} ({seen[one.probe.shows_images]})" for one in shares)
        raise BadInput(
            f"observations of these environments are of two kinds: {shown}. They need other "
            "networks, so that no setting is one for all: tune each kind by itself"
        )
    return shares


def check_asked(asked: Request, job: str) -> Request:
    """The options of a request of several environments, with the metric that it is judged by.

    Raises:
        BadInput: with every option that has no meaning there.
    """
    goal, found = asked.goal, []
    if job != "sweep":
        found.append(f"several environments are tuned together: {job} each of them by itself")
    if goal.metric not in (REWARD, NORMALIZED):
        found.append(
            f"metric {goal.metric}: it has another scale in each environment. Settings in several "
            f"are judged by {NORMALIZED}, the mean of their normalised returns: leave it out"
        )
    if goal.mode != "max":
        found.append(f"mode {goal.mode}: of normalised scores the larger one is better")
    if goal.objective:
        found.append(
            f"objective {','.join(goal.objective)}: settings in several environments are judged by "
            f"{NORMALIZED} alone: tune several objectives in one environment"
        )
    if asked.resources.batch not in ("auto", "off"):
        found.append(
            f"batch {asked.resources.batch}: trials in several environments do not train as a "
            "batch: leave it out"
        )
    if asked.env_options.env_copies is not None:
        found.append("env_copies is of one environment: leave it out")
    if found:
        raise BadInput(found)
    return replace(
        asked,
        goal=replace(goal, metric=NORMALIZED),
        resources=replace(asked.resources, batch="off"),
    )


def check_single(asked: Request) -> None:
    """Raises BadInput for options of several environments where there is one."""
    found = []
    if asked.goal.thresholds:
        found.append("thresholds are of several environments: leave it out, or give a `target`")
    if asked.goal.metric == NORMALIZED:
        found.append(f"metric {NORMALIZED} is of several environments: leave it out")
    if found:
        raise BadInput(found)


def together(
    spec: RunSpec,
    singles: Sequence[RunSpec],
    shares: Sequence[Share],
    ends: Mapping[str, float],
) -> RunSpec:
    """The request of all environments, from that of each.

    Args:
        ends: the :func:`thresholds`.

    Raises:
        BadInput: an environment has no scale, or its copies would be in processes of their own.
    """
    if largest(RUNNERS, spec.settings, spec.space):
        raise BadInput(
            f"{RUNNERS}: several environments take turns in one process. It must be 0; "
            f"{keyword(env_processes=2)} steps the copies of each in several"
        )

    def scaled(one: tuple[RunSpec, Share]) -> Environment:
        return _scaled(*one, ends[one[1].name])

    environments = _each(list(zip(singles, shares, strict=True)), scaled)
    found = {name: one for single in singles for name, one in single.versions.items()}
    return replace(
        spec,
        versions=found,
        env=title(shares),
        env_id=",".join(share.info.id for share in shares),
        env_options=replace(
            spec.env_options, env_args={}, simulator="gymnasium", env_processes=None
        ),
        environments=tuple(environments),
        reading=_told(singles, shares, "reading"),
        stepping=_told(singles, shares, "stepping"),
    )


def title(shares: Sequence[Share]) -> str:
    """What the environments are called together."""
    return ",".join(share.info.name for share in shares)


def thresholds(algo: str, shares: Sequence[Share], asked: Request) -> dict[str, float]:
    """The return that is 1 of each environment's scale, by its name.

    It is what is given, the environment's own, or the target of its preset.

    Raises:
        BadInput: an environment has none, or one is given to no environment.
    """
    given = {_share_of(name, shares): value for name, value in asked.goal.thresholds.items()}
    found: dict[str, float] = {}
    problems = []
    for share in shares:
        value = given.get(share.name, share.info.threshold)
        if value is None:
            images = share.probe.shows_images
            value = catalog.preset(algo, share.info, images=images).budget.target
        if _is_number(value):
            found[share.name] = value
        elif share.name in given:
            problems.append(f"thresholds {share.name}: must be a finite number, got {value!r}")
        else:
            problems.append(
                f"{share.name} has no threshold, the return that counts as 1: give it with "
                f"{_example(share)}"
            )
    if problems:
        raise BadInput(problems)
    return found


def _example(share: Share) -> str:
    return f"`thresholds={{'{share.name}': 'RETURN'}}`"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _share_of(name: str, shares: Sequence[Share]) -> str:
    for share in shares:
        if name in (share.name, share.info.name, share.info.id):
            return share.name
    known = [share.name for share in shares]
    raise BadInput(f"thresholds {name}: no environment of this run.{did_you_mean(name, known)}")


def _scaled(spec: RunSpec, share: Share, threshold: float) -> Environment:
    """One environment with its scale."""
    random = random_score(spec)
    if threshold <= random.mean:
        raise BadInput(
            f"{share.name}: its threshold {threshold:g} is not above the {random.mean:.4g} that a "
            "random policy reaches, so that no score lies between them: give another with "
            f"{_example(share)}"
        )
    return Environment(
        name=share.name,
        env=spec.env,
        env_id=spec.env_id,
        env_args=spec.env_options.env_args,
        simulator=spec.env_options.simulator,
        env_processes=spec.env_options.env_processes,
        random=random,
        threshold=threshold,
    )


def _told(singles: Sequence[RunSpec], shares: Sequence[Share], what: str) -> str:
    """What is said of each environment, with its name."""
    said = ((share.name, getattr(one, what)) for share, one in zip(shares, singles, strict=True))
    return "; ".join(f"{name}: {text}" for name, text in said if text)


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


def _each(items: Sequence[A], work: Callable[[A], B]) -> list[B]:
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
