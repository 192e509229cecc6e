"""Processes forked from one that has imported everything: starting is most of a short sweep."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

from conftest import CLUSTER, environment


@cache
def server() -> Any:
    """Makes such processes, as ``multiprocessing`` does."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rltune.sweeps", "deterministic", "warm"])
    with mock.patch.dict(os.environ, CLUSTER):  # Ray reads some of it once, when it is imported
        forkserver.ensure_running()
    return context


def run_rltune(
    folder: Path, *words: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What :func:`conftest.run_rltune` does, seconds sooner."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        around = {**environment(), **(variables or {})}
        process = server().Process(target=_rltune, args=(folder, words, around, out, err))
        process.start()
        process.join(300)
        process.kill()
        code = process.exitcode
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def _rltune(
    folder: Path, words: tuple[str, ...], variables: Mapping[str, str], out: Path, err: Path
) -> None:
    """``python -m rltune``: the whole of a process."""
    os.chdir(folder)
    os.environ.update(variables)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["rltune", *words]
    runpy.run_module("rltune", run_name="__main__", alter_sys=True)
