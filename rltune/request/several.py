"""A request of several environments: ``cartpole,acrobot,lunarlander``.

One setting is judged by the mean over them of scores on a scale of their own, from a random policy
(0) to the threshold (1). Settings, space and budget are those of the first one's preset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

from rltune import catalog
from rltune.engine.metric_names import NORMALIZED, REWARD
from rltune.environments import Environment
from rltune.errors import BadInput, did_you_mean, keyword
from rltune.request.asked import Request
from rltune.request.env_copies import RUNNERS
from rltune.request.env_processes import in_processes
from rltune.request.random_scores import random_score
from rltune.request.shares import Share, each_of
from rltune.spec import RunSpec, largest


def check_asked(asked: Request, job: str) -> Request:
    """The options of a request of several environments, with the metric that it is judged by.

    Raises:
        BadInput: with every option that has no meaning there.
    """
    goal, found = asked.goal, []
    if job != "sweep":
        found.append(f"rltune {job} is of one environment: name one, or tune several by a sweep")
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

    environments = each_of(list(zip(singles, shares, strict=True)), scaled)
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


def stepped(singles: Sequence[RunSpec]) -> list[RunSpec]:
    """Says in how many processes the copies of each environment are stepped.

    Raises:
        BadInput: several processes are asked for, and no environment can have them. One of some
            that cannot keeps to one process, and says why.
    """
    found: list[RunSpec] = []
    problems: list[str] = []
    for spec in singles:
        try:
            found.append(in_processes(spec))
        except BadInput as error:
            problems += error.problems
            one = replace(spec.env_options, env_processes=1)
            found.append(replace(spec, env_options=one, stepping=str(error)))
    if len(problems) == len(singles):
        raise BadInput(problems)
    return found


def title(shares: Sequence[Share]) -> str:
    """What the environments are called together."""
    return ",".join(share.info.name for share in shares)


def thresholds(algo: str, shares: Sequence[Share], asked: Request) -> dict[str, float]:
    """The return that is 1 of each environment's scale, by its name.

    It is what is given, the environment's own, or the target of its preset; the last two say
    nothing about an environment with arguments, see :func:`rltune.catalog.thresholds.threshold`.

    Raises:
        BadInput: an environment has none, or one is given to no environment.
    """
    given = {_share_of(name, shares): value for name, value in asked.goal.thresholds.items()}
    found: dict[str, float] = {}
    problems = []
    for share in shares:
        value = given.get(share.name, None if share.env_args else share.info.threshold)
        if value is None and not share.env_args:
            images = share.probe.shows_images
            value = catalog.preset(algo, share.info, images=images).budget.target
        if _is_number(value):
            found[share.name] = value
        elif share.name in given:
            problems.append(f"thresholds {share.name}: must be a finite number, got {value!r}")
        else:
            which = f"{share.name} with arguments" if share.env_args else share.name
            problems.append(
                f"{which} has no threshold, the return that counts as 1: give it with "
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
