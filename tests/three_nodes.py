"""Three Ray nodes for tests (scripts/local_cluster.py), and a connection that can be cut."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import forked_workers
from conftest import ROOT, environment, import_path
from local_cluster import MARK, LocalCluster

from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec


@contextmanager
def three_nodes(
    folder: Path, forked: bool = True, variables: Mapping[str, str] | None = None
) -> Iterator[LocalCluster]:
    """A cluster of three nodes, whose workers can import the tests' own modules.

    Args:
        forked: whether workers are those of forked_workers.py, which start sooner.
        variables: of its environment, beside those of this process.
    """
    around = {
        **environment(),
        **(variables or {}),
        "PYTHONPATH": import_path(ROOT, Path(__file__).parent),
        forked_workers.SOCKET: str(folder / "workers"),
        MARK: str(folder),
    }
    options = {"setup_worker_path": forked_workers.__file__} if forked else {}
    server = subprocess.Popen([sys.executable, forked_workers.__file__, "serve"], env=around)
    cluster = LocalCluster(variables=around, **options)
    try:
        yield cluster
    finally:
        server.kill()
        server.wait()
        cluster.close()


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
