"""A Ray cluster of several nodes on loopback, in a process of its own, whose parts can be killed.

Ray's nodes leave threads in the process that starts them, and what that process forks later may
crash: they are started by another one, which this file is run as.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

#: What every process of a cluster and of its clients needs; Ray reads it when it is imported.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
TOKEN = "RAY_AUTH_TOKEN"
#: Variable that marks all processes of one cluster.
MARK = "RLTUNE_LOCAL_CLUSTER"
#: A node is dead after 3 s without an answer, not after 15.
SYSTEM = {"health_check_period_ms": 500, "health_check_failure_threshold": 6}


@dataclass(frozen=True)
class Node:
    """A node of the cluster.

    Attributes:
        processes: ids of those that Ray has started for it, by Ray's names of them.
    """

    number: int
    processes: Mapping[str, int]

    def all_processes(self) -> list[psutil.Process]:
        """Its own, and those below them."""
        found = []
        for pid in self.processes.values():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                found += [process, *process.children(recursive=True)]
        return found


class LocalCluster:
    """Nodes with a CPU each, and a GPU that only Ray believes in.

    Args:
        nodes: their number, the head included.
        variables: of the environment of all processes. What is to be found as one of them, and
            is started elsewhere, has the same MARK.
        options: of each node, as ``ray.cluster_utils.Cluster.add_node`` takes them.

    Attributes:
        address: of the head.
        token: that clients of the cluster need.
        nodes: those beside the head.
    """

    def __init__(
        self, nodes: int = 3, variables: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        self._size, self._options = nodes, options
        self._folder = tempfile.mkdtemp(prefix="nodes", dir="/tmp")  # a short path
        self.token = os.environ.get(TOKEN) or secrets.token_hex(32)
        around = {**os.environ, **(variables or {}), **LOOPBACK, TOKEN: self.token}
        self._mark = around[MARK] = (variables or {}).get(MARK, self._folder)
        around["RAY_TMPDIR"] = self._folder
        words = [sys.executable, __file__]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, env=around, stdin=pipe, stdout=pipe, text=True)
        self.nodes: list[Node] = []
        self.start()

    def start(self) -> None:
        """Starts all nodes, or all of them again after the head has died."""
        self.head, self.address = self._add("head", include_dashboard=False, _system_config=SYSTEM)
        self.nodes = []
        for _ in range(self._size - 1):
            self.add()

    def add(self) -> Node:
        """One more node."""
        node, _ = self._add("node")
        self.nodes.append(node)
        return node

    def _add(self, kind: str, **options: Any) -> tuple[Node, str]:
        told = self._ask([kind, {"num_gpus": 1, **self._options, **options}])
        return Node(told["number"], told["processes"]), told["address"]

    def _ask(self, request: list[Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def kill(self, node: Node) -> None:
        """Ends a node at once, as a machine that loses its power; the head's ends the cluster."""
        for process in node.all_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._ask(["forget", node.number])
        self.nodes = [each for each in self.nodes if each is not node]

    def workers(self, *names: str) -> list[psutil.Process]:
        """The processes of the cluster's actors that bear one of some names."""
        titles = tuple(f"ray::{name}" for name in names)
        return [process for process in self.all_processes() if _name(process).startswith(titles)]

    def all_processes(self) -> list[psutil.Process]:
        """Every process of the cluster that is alive, its parent may have ended."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark:
                    found.append(process)
        return found

    def close(self) -> list[str]:
        """Ends all of it. Returns the command lines of processes that had to be killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        left = psutil.wait_procs(self.all_processes(), timeout=10)[1]
        words = [" ".join(_command(process)) for process in left]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        return words


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def main() -> None:
    """Starts and forgets nodes as it is told on stdin, and ends them all at its end."""
    from ray.cluster_utils import Cluster

    answers, sys.stdout = sys.stdout, sys.stderr  # Ray prints
    cluster: Any = None
    nodes: dict[int, Any] = {}
    for line in sys.stdin:
        word, asked = json.loads(line)
        answer: Any = None
        if word == "forget":
            _end(nodes.pop(asked), cluster)
        else:
            cluster = Cluster(shutdown_at_exit=False) if word == "head" else cluster
            node = cluster.add_node(**asked)
            number = 1 + max(nodes, default=-1)
            nodes[number] = node
            pids = {
                f"{name}-{count}": one.process.pid
                for name, started in node.all_processes.items()
                for count, one in enumerate(started)
            }
            answer = {"number": number, "processes": pids, "address": cluster.address}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    for node in reversed(nodes.values()):
        _end(node, cluster)


def _end(node: Any, cluster: Any) -> None:
    if node in cluster.worker_nodes:
        cluster.worker_nodes.remove(node)
    node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


if __name__ == "__main__":
    main()
