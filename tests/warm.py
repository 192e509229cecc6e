"""Processes forked from one that has imported everything: starting is most of a short sweep."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

from conftest import ROOT, environment
from forked_workers import SOCKET, draw_ids_apart, served, use


@cache
def server() -> Any:
    """Makes such processes, as ``multiprocessing`` does."""
    context = multiprocessing.get_context("forkserver")
    commands = [f"rltune.cli.{path.stem}" for path in (ROOT / "rltune/cli").glob("[a-z]*.py")]
    context.set_forkserver_preload(["rltune.sweeps.runner", *commands, "deterministic", "warm"])
    with mock.patch.dict(os.environ, environment()):  # rich reads some when it is imported
        forkserver.ensure_running()
    return context


class Started:
    """A process of rltune that runs by itself; what it prints is kept in files.

    Args:
        words: of the command line.
        variables: of its environment, beside those of this process.
        cluster: the Ray that it connects to (``cluster_address``), which spares it the seconds and
            the ten processes of one of its own.
        descend: whether the workers of its own Ray descend from it, as a user's do; they are
            forked from elsewhere otherwise.
    """

    def __init__(
        self,
        folder: Path,
        *words: str,
        variables: Mapping[str, str] | None = None,
        cluster: str | None = None,
        descend: bool = False,
    ) -> None:
        if cluster is not None:
            words = (*words, "--address", cluster)
        self._files = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._files.name) / name for name in ("out", "err"))
        socket = {} if descend else {SOCKET: served()}
        around = {**environment(), **socket, **(variables or {})}
        self.words = words
        self.process = server().Process(
            target=_rltune, args=(folder, words, around, self._out, self._err)
        )
        self.process.start()
        self.pid: int = self.process.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return bool(self.process.is_alive())

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def end(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Waits for it, so many seconds at most: then it is killed."""
        self.process.join(timeout)
        self.process.kill()
        self.process.join()
        out, err = self._out.read_text(), self._err.read_text()
        self._files.cleanup()
        return subprocess.CompletedProcess(self.words, self.process.exitcode, out, err)


def run_rltune(
    folder: Path,
    *words: str,
    variables: Mapping[str, str] | None = None,
    cluster: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """What :func:`conftest.run_rltune` does, seconds sooner; ``cluster`` as in :class:`Started`."""
    return Started(folder, *words, variables=variables, cluster=cluster).end()


def _rltune(
    folder: Path, words: tuple[str, ...], variables: Mapping[str, str], out: Path, err: Path
) -> None:
    """``python -m rltune``: the whole of a process."""
    os.chdir(folder)
    os.environ.update(variables)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    draw_ids_apart()
    sys.argv = ["rltune", *words]
    with use() if SOCKET in os.environ else nullcontext():
        runpy.run_module("rltune", run_name="__main__", alter_sys=True)
