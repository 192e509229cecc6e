"""``rltune recipe KIND ALGO ENV``: a file that runs the sweep on a cluster."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rltune._version import __version__
from rltune.callbacks.given import check_callbacks
from rltune.callbacks.loggers.trackers import check_loggers
from rltune.cli import console
from rltune.cli.options import FORWARDED
from rltune.cli.parse import values
from rltune.cli.spelling import spelled, spelling
from rltune.clusters import recipe
from rltune.clusters.command import Asked, Command
from rltune.clusters.recipe import Kind
from rltune.envs import INFOS
from rltune.errors import BadInput
from rltune.options import OF_NODES, OPTIONS, Nodes
from rltune.request.resolve import make_request
from rltune.runs.folder import RunFolder
from rltune.runs.remote.location import is_url
from rltune.searchers import SEARCHERS
from rltune.spec import RunSpec


def run(
    *, kind: str, algo: str, env: str, words: Mapping[str, Sequence[str]], **given: Any
) -> None:
    """Prints the file on stdout, and how it is used on stderr."""
    chosen = recipe.kind(kind)
    nodes = _nodes(kind, chosen, given, words)
    asked = Asked(algo, env, forwarded(words), spelled, given["ship"] or ())
    spec, command = request(asked, given, chosen.storage, chosen.travels)
    if not chosen.travels:
        RunFolder.check_free(spec)
    _check_trial_fits(spec, nodes, recipe.memory(chosen, nodes))
    text = recipe.render(chosen, command, nodes, _needs(spec))
    sys.stdout.write(text)
    sys.stdout.flush()
    if not given["quiet"]:
        _explain(chosen, command, kind)


def request(
    asked: Asked, options: Mapping[str, Any], storage: str | None, travels: bool
) -> tuple[RunSpec, Command]:
    """The request, checked as a sweep on a cluster, and the command that runs it there.

    Args:
        options: of a sweep, as the command line takes them.
        storage: the cluster's folder of runs where none is asked for; None for the user's own.
        travels: whether the user's files are not on the cluster's storage already.

    Raises:
        BadInput: as :func:`make_request`.
    """
    taken = {name: options[name] for name in OPTIONS}
    if (save_buffer := options.get("save_buffer")) is not None:
        taken["settings"] = [*taken["settings"], f"save_buffer={str(save_buffer).lower()}"]
    if is_url(taken["storage"]):
        raise BadInput(
            f"{spelling('storage')} {taken['storage']}: here, name a folder that all nodes see. On "
            "a machine of the cluster, `rltune ALGO ENV --address auto` takes the URL"
        )
    if travels and asked.words.get("storage"):
        recipe.whole(taken["storage"])
    spec, _ = make_request(asked.algo, asked.env, **{**values(taken), "address": "auto"})
    check_callbacks(spec.callbacks)
    check_loggers(spec.log)
    place = taken["storage"] if asked.words.get("storage") else storage
    folder = recipe.whole(place) if travels and place else spec.storage
    return spec, asked.command(spec, folder, travels, trust=travels)


def forwarded(words: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The words of the options that the cluster gets."""
    return {name: given for name, given in words.items() if name in FORWARDED}


def _nodes(name: str, kind: Kind, given: Mapping[str, Any], words: Collection[str]) -> Nodes:
    """The nodes that were asked for.

    Args:
        words: names of the options that were typed.

    Raises:
        BadInput: an option that this kind does not read, or one that it needs.
    """
    if strange := [spelling(option) for option in words if option in {*OF_NODES} - {*kind.takes}]:
        raise BadInput(
            f"{', '.join(strange)} is not for {name}, which takes "
            f"{', '.join(map(spelling, kind.takes))}"
        )
    if given["ship"] and not kind.travels:
        raise BadInput(f"{spelling('ship')} is not for {name}: the job runs in this folder")
    if "address" in words:
        raise BadInput(f"{spelling('address')}: the recipe starts its own cluster; leave it out")
    nodes = Nodes(**{option: given[option] for option in OF_NODES})
    if "project" not in kind.takes or nodes.project is not None:
        return nodes
    project = os.environ.get("GOOGLE_CLOUD_PROJECT")
    if not project:
        raise BadInput(
            f"{spelling('project')} is missing: the id of your project on Google Cloud, unless "
            "GOOGLE_CLOUD_PROJECT holds it"
        )
    return replace(nodes, project=project)


def _check_trial_fits(spec: RunSpec, nodes: Nodes, memory: int | None) -> None:
    """Refuses a trial that no node of the recipe could hold: it would wait indefinitely.

    Args:
        memory: bytes of a node; None for not known.
    """
    asked = spec.resources
    problems = []
    if asked.cpus_per_trial > nodes.node_cpus:
        problems.append(
            f"cpus_per_trial {asked.cpus_per_trial:g}: a node has {nodes.node_cpus} CPUs "
            f"({spelling('node_cpus')})"
        )
    if spec.cpus_of_a_trial > nodes.node_cpus * nodes.nodes:
        problems.append(
            f"a trial with its environment runners takes {spec.cpus_of_a_trial:g} CPUs, and all "
            f"nodes together have {nodes.node_cpus * nodes.nodes}"
        )
    if memory is not None and asked.memory_per_trial > memory:
        problems.append(
            f"memory_per_trial {asked.memory_per_trial / 2**30:.1f} GiB: a node has "
            f"{memory / 2**30:.1f} GiB ({spelling('node_memory')})"
        )
    if asked.gpus_per_trial > nodes.node_gpus:
        problems.append(
            f"gpus_per_trial {asked.gpus_per_trial:g}: a node has {nodes.node_gpus} GPU "
            f"({spelling('node_gpus')})"
        )
    if problems:
        raise BadInput(problems)


def _needs(spec: RunSpec) -> str:
    """What pip installs for a request: this version, with the extras that it uses."""
    info = INFOS.get(spec.env)
    extras = [info.extra if info else None, SEARCHERS[spec.budget.searcher].extra, *spec.log]
    named = ",".join(dict.fromkeys(extra for extra in extras if extra))
    return f"rltune[{named}]=={__version__}" if named else f"rltune=={__version__}"


def _explain(kind: Kind, command: Command, name: str) -> None:
    file = "sweep.sh" if name == "slurm" else "sweep.yaml"
    console.messages.print(f"how to use it, saved as {file}:")
    for line in kind.use:
        line = line.replace("FILE", file).replace("RUN", shlex.quote(command.run))
        console.messages.print(f"  {line}", soft_wrap=True)
    for variable in command.variables:
        console.messages.print(_SECRET[name].format(variable), soft_wrap=True)


_SECRET = {
    "slurm": "a secret is not in the file: export {}=... before sbatch",
    "kuberay": "a secret is not in the file: put {} into the Kubernetes secret that it names",
    "aws": "a secret is not in the file: ray exec sweep.yaml '{}=... bash sweep.sh'",
    "gcp": "a secret is not in the file: ray exec sweep.yaml '{}=... bash sweep.sh'",
}
