"""Compares what the nodes of a cluster have with what a sweep needs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltune.clusters import node_facts
from rltune.clusters.nodes import Answer
from rltune.clusters.own_code import OwnCode, code_of, packages_of
from rltune.clusters.shipment import Shipment
from rltune.spec import FUNCTION, RunSpec

#: Nodes that a message names.
NAMED = 3


@dataclass(frozen=True)
class Needs:
    """What a sweep needs on every node.

    Attributes:
        own: the user's code.
        wanted: what nodes are asked, see :func:`rltune.clusters.node_facts.facts`.
        here: what this machine answers.
        gpus: of a trial that trains with torch.
    """

    own: Sequence[OwnCode]
    wanted: Mapping[str, Any]
    here: Mapping[str, Any]
    gpus: float = 0.0

    @classmethod
    def of(cls, spec: RunSpec) -> Needs:
        """The needs of a run.

        Raises:
            BadInput: code of the user's cannot be carried.
        """
        own, installed = code_of(spec)
        request = Path(spec.storage) / spec.name / "run.json"
        local = "://" not in spec.storage and request.is_file()
        wanted = {
            "packages": packages_of(spec),
            "modules": installed,
            "own": [code.hashes() for code in own],
            "file": str(request) if local else None,
            "hash": node_facts.file_hash(request) if local else "",
        }
        gpus = 0.0 if spec.task == FUNCTION else spec.resources.gpus_per_trial
        return cls(own, wanted, node_facts.facts(wanted), gpus)

    def lacking(self, answers: Sequence[Answer]) -> tuple[Shipment, list[str]]:
        """The code that a node lacks or has otherwise, and the names of those nodes."""
        rltune = [a.node for a in answers if a.facts and a.facts["rltune"] != self.here["rltune"]]
        own = {
            n: [a.node for a in answers if a.facts and n in a.facts["own"]]
            for n in range(len(self.own))
        }
        shipped = [self.own[n] for n, nodes in own.items() if nodes]
        return Shipment(bool(rltune), shipped), list(dict.fromkeys(sum(own.values(), rltune)))

    def problems(self, answers: Sequence[Answer]) -> list[str]:
        """What keeps trials from running on nodes, beside code that can be shipped."""
        have = [(answer.node, answer.facts) for answer in answers if answer.facts is not None]
        found = []
        for name, version in self.here["packages"].items():
            without = [node for node, facts in have if version and not facts["packages"][name]]
            if without:
                found.append(f"{name} is not installed on {_list(without)}: pip install it there")
        for module in self.wanted["modules"]:
            if without := [node for node, facts in have if module in facts["modules"]]:
                found.append(
                    f"module {module} cannot be found on {_list(without)}: install it there"
                )
        for problem in ("is not there", "cannot be written"):
            if without := [node for node, facts in have if facts["storage"] == problem]:
                folder = Path(self.wanted["file"]).parent
                found.append(
                    f"storage {folder.parent}: the run folder {problem} on {_list(without)}: give "
                    "`storage` a folder that all nodes see under the same path, and can write"
                )
        if self.gpus:
            gpus = {answer.node for answer in answers if answer.gpus}
            if without := [node for node, facts in have if node in gpus and not facts["cuda"]]:
                found.append(
                    f"gpus_per_trial {self.gpus:g}: torch cannot use the GPU of {_list(without)}, "
                    "it was built without CUDA: install there a torch that was built with it"
                )
        return found

    def differences(self, answers: Sequence[Answer]) -> str:
        """Versions of packages that differ from those here, in words; empty for none."""
        here = self.here["packages"]
        told = []
        for name in filter(here.get, here):
            versions: dict[str, list[str]] = {}
            for answer in answers:
                if answer.facts and (version := answer.facts["packages"][name]):
                    versions.setdefault(version, []).append(answer.node)
            versions.pop(here[name], None)
            told += [
                f"{name} {each} on {_list(nodes)} ({here[name]} here)"
                for each, nodes in versions.items()
            ]
        return "; ".join(told)


def _list(nodes: Sequence[str]) -> str:
    """The names of nodes, of many the first ones."""
    more = len(nodes) - NAMED
    return ", ".join(nodes[:NAMED]) + (f" and {more} more" if more > 0 else "")
