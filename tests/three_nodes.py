"""A Ray cluster of three nodes on loopback, whose processes can be stopped and killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import forked_workers
import psutil
from conftest import CLUSTER, ROOT, environment, import_path
from ray.cluster_utils import Cluster

from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

#: A node is dead after 3 s without an answer, not after 15.
SYSTEM = {"health_check_period_ms": 500, "health_check_failure_threshold": 6}


class ThreeNodes:
    """Three nodes with a CPU each, and a GPU that only Ray believes in.

    Args:
        forked: whether workers are those of forked_workers.py, which start sooner.

    Attributes:
        address: of the head.
        nodes: the two beside the head.
    """

    def __init__(self, folder: Path, forked: bool = True) -> None:
        self._around = {
            **environment(),
            **CLUSTER,
            "PYTHONPATH": import_path(ROOT, Path(__file__).parent),
            forked_workers.SOCKET: str(folder / "workers"),
        }
        self._words = {"setup_worker_path": forked_workers.__file__} if forked else {}
        self._server = subprocess.Popen(
            [sys.executable, forked_workers.__file__, "serve"], env=self._around
        )
        self._cluster: Any = None
        self.start()

    def start(self) -> None:
        """Starts the cluster, or another one after its head has died."""
        self._cluster = Cluster(shutdown_at_exit=False)
        self._add(include_dashboard=False, _system_config=SYSTEM)
        self.nodes = [self.add(), self.add()]
        self.address: str = self._cluster.address

    def add(self) -> Any:
        """One more node."""
        return self._add()

    def _add(self, **words: Any) -> Any:
        with mock.patch.dict(os.environ, self._around):
            return self._cluster.add_node(num_gpus=1, **self._words, **words)

    def kill(self, node: Any) -> None:
        """Ends a node at once, as a machine that loses its power; the head's ends the cluster."""
        processes = _below(node)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if node is self.head:
            self._cluster = None
        else:
            self._cluster.remove_node(node, allow_graceful=False)
            self.nodes.remove(node)

    @property
    def head(self) -> Any:
        """The first node."""
        return self._cluster.head_node

    def server(self) -> psutil.Process:
        """The head's process that knows of all nodes."""
        return psutil.Process(self.head.all_processes["gcs_server"][0].process.pid)

    def trials(self, *names: str) -> list[psutil.Process]:
        """The processes of this cluster's workers that bear one of some names."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                socket = process.environ().get(forked_workers.SOCKET)
                own = socket == self._around[forked_workers.SOCKET]
                if own and process.name().startswith(tuple(f"ray::{name}" for name in names)):
                    found.append(process)
        return found

    def processes(self, node: Any) -> list[psutil.Process]:
        """A node's own, and those of its workers where they are Ray's."""
        return _below(node)

    def close(self) -> None:
        """Ends all of it."""
        if self._cluster is not None:
            for node in [*self.nodes, self.head]:
                for process in _below(node):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        self._server.kill()
        self._server.wait()


def drive(spec: RunSpec, variables: Mapping[str, str]) -> None:
    """Runs or resumes a sweep whose watch is quick: the whole of a process."""
    from rltune.sweeps import runner, watch
    from rltune.sweeps.ray_adapter import heartbeats

    watch.STALLED, watch.BEAT, heartbeats.PATIENCE = 4.0, 0.5, 1.0
    os.environ.update({**variables, "RAY_gcs_rpc_server_reconnect_timeout_s": "16"})
    path = Path(spec.storage) / str(spec.name)
    if path.exists():
        runner.resume(RunFolder.open(path), address=spec.resources.address)
    else:
        runner.run(spec)


def check_counts(run: RunFolder) -> None:
    """Checks that every trial ended, and that all that was trained is counted once."""
    summary = run.summary
    assert summary is not None
    assert {trial.status for trial in summary.trials} == {"TERMINATED"}
    stopped = {line.trial for line in run.decisions() if line.kind == "stop"}
    spent = 0
    for trial in run.trials():
        rows = run.reports(trial)
        steps = [row.env_steps for row in rows]
        assert steps == sorted(set(steps))
        assert steps[-1] >= run.spec.budget.steps or trial in stopped
        assert [row.training_iteration for row in rows] == list(range(1, len(rows) + 1))
        spent += sum(row.env_steps_this_iter for row in [*rows, *run.discarded(trial)])
    assert summary.env_steps == spent


def _below(node: Any) -> list[psutil.Process]:
    """A node's processes and those that they have started."""
    found = []
    for started in node.all_processes.values():
        for one in started:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(one.process.pid)
                found += [process, *process.children(recursive=True)]
    return found


class Proxy:
    """Stands between a driver and a cluster's head; a context manager.

    Attributes:
        address: where it listens.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target, self._mended = (host, int(port)), True
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                if not self._mended:
                    here.close()
                    continue
                there = socket.create_connection(self._target)
                self._open |= {here, there}
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()

    def cut(self) -> None:
        """Closes all connections and takes no new ones."""
        self._mended = False
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Takes new ones again."""
        self._mended = True

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.close()
        for each in self._open:
            each.close()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


@contextmanager
def three_nodes(folder: Path, forked: bool = True) -> Iterator[ThreeNodes]:
    """A cluster for the time of a test."""
    cluster = ThreeNodes(folder, forked)
    try:
        yield cluster
    finally:
        cluster.close()
