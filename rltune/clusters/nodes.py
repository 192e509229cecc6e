"""Asks the nodes of a cluster what they have of what a sweep needs, all at the same time."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rltune import import_path
from rltune.clusters import node_facts
from rltune.errors import MachineError
from rltune.processes import torch_build

#: Seconds that all nodes together get to answer in: a busy one starts a process for it.
PATIENCE = 30.0
#: Seconds that a cluster's head gets to answer at its address.
ANSWER = 10.0

# They travel as they are: a node may lack rltune.
for _module in (node_facts, import_path, torch_build):
    cloudpickle.register_pickle_by_value(_module)


@dataclass(frozen=True)
class Answer:
    """What a node has.

    Attributes:
        node: its address, and its id where several nodes have one address.
        facts: see :func:`rltune.clusters.node_facts.facts`; None where it did not answer.
        gpus: that Ray takes it to have.
        error: why it did not answer.
    """

    node: str
    facts: Mapping[str, Any] | None
    gpus: float = 0.0
    error: str = ""


def check_answers(address: str) -> None:
    """Refuses an address at which nothing listens: Ray would try it for minutes.

    Raises:
        MachineError: nothing does.
    """
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not (host and port.isdigit()):
        return  # "auto", which Ray looks up
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except OSError as error:
        raise MachineError(
            f"no Ray cluster answers at {address}: {error.strerror or error}. Start it, or give "
            "the address that `ray start --head` printed"
        ) from error


def ask(
    wanted: Mapping[str, Any], variables: Mapping[str, str], patience: float = PATIENCE
) -> list[Answer]:
    """What each node has that can hold a trial, that is, which has CPUs.

    Args:
        wanted: see :func:`rltune.clusters.node_facts.facts`.
        variables: of trials' processes, where they differ from those of the job.
        patience: seconds until nodes that have not answered are given up.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    remote = ray.remote(node_facts.facts)
    more: dict[str, Any] = {"runtime_env": {"env_vars": dict(variables)}} if variables else {}
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=there, **more)
        asked[task.remote(dict(wanted))] = node
    ready, late = (
        ray.wait(list(asked), num_returns=len(asked), timeout=patience) if asked else ((), ())
    )
    for reference in late:
        ray.cancel(reference, force=True)
    names = _names(nodes)
    answered = {asked[each]["NodeID"]: _answer(each) for each in ready}
    silent = None, f"no answer within {patience:.0f} s"
    return [
        Answer(names[node["NodeID"]], facts, node["Resources"].get("GPU", 0.0), error)
        for node in nodes
        for facts, error in [answered.get(node["NodeID"], silent)]
    ]


def _answer(reference: Any) -> tuple[Mapping[str, Any] | None, str]:
    try:
        return ray.get(reference), ""
    except RayError as error:
        return None, str(error).strip().splitlines()[-1]


def _names(nodes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What nodes are called, by their id."""
    addresses = [node["NodeManagerAddress"] for node in nodes]
    return {
        node["NodeID"]: address
        if addresses.count(address) == 1
        else f"{address} ({node['NodeID'][:8]})"
        for node, address in zip(nodes, addresses, strict=True)
    }
