"""Landscapes that ship with rltune, for a request that they are of."""

from __future__ import annotations

from collections.abc import Iterator

from rltune import catalog
from rltune.metric import RETURN
from rltune.simulator.table import Table
from rltune.space.values import same
from rltune.spec import RunSpec


def landscape_of(spec: RunSpec) -> Table | None:
    """The landscape that ships for a request's preset; None where it was measured at something
    else than what the request trains."""
    return None if any(mismatches(spec)) else Table.shipped(spec.algo, spec.env)


def mismatches(spec: RunSpec) -> Iterator[str]:
    """Why no landscape that ships says something about a request; nothing where one does."""
    if (spec.algo, spec.env) not in catalog.landscapes():
        there = ", ".join(" on ".join(one) for one in catalog.landscapes())
        yield f"none ships for {spec.algo} on {spec.env}, but for {there}"
        return
    env = catalog.environment(spec.env)
    measured = catalog.preset(spec.algo, env)
    if spec.env_id != env.id:
        yield f"it is of {env.id}, not of {spec.env_id}"
    if spec.env_options.env_args:
        yield "it is of the environment without arguments"
    if spec.goal != RETURN:
        yield f"it is of {RETURN}, not of {spec.goal}"
    for name, value in measured.settings.items():
        if name not in measured.space and name in spec.space:
            yield f"it has {name} {value} throughout, which is searched here"
        elif name not in measured.space and not same(spec.settings.get(name), value):
            yield f"it has {name} {value}, here it is {spec.settings.get(name)}"
