"""Ray's workers forked from a process that has imported the rest: starting is most of a sweep.

A worker spends 3 s of processor time on imports, half of it on torch, pandas and others, half on
Ray, RLlib and rltune. The cluster that tests share (``conftest.cluster_address``) gets its workers
from here, and so does a Ray that a process starts after :func:`use`; that of a command which is no
fork (``conftest.run_rltune``), as a user's, has Ray's. This file is run in three ways:

    python forked_workers.py head WORDS...   ``ray WORDS``, with workers from here
    python forked_workers.py serve           imports, then forks a worker for each request
    python forked_workers.py ...             asks; what the head starts in place of a worker

Ray and rltune read variables when they are imported, one of them the id of the job. So a process
that is forked from the one with the rest imports them for a job, and its forks are the job's
workers. A worker tells Ray its process id when it registers (2.60): it need not be the process
that Ray started.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from functools import cache, partialmethod
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

#: Variable that names the socket, for all three.
SOCKET = "RLTUNE_FORKED_WORKERS"
MODULES = (
    *("torch", "numpy.random", "gymnasium", "scipy", "tree", "PIL", "pandas"),
    *("pyarrow.dataset", "tensorboardX", "requests", "jsonschema", "fsspec", "psutil", "yaml"),
)
#: What reads variables when it is imported.
IMPORTED = ("ray.tune", "rltune.tasks.rl", "rltune.tasks.function", "rltune.algorithms.ppo")
#: Variables that are read later, or again; workers of one job have different ones.
LATE = ("RLTUNE_IMPORT_PATH", "RLTUNE_TRIALS_SEND", "RAY_CHDIR_TO_TRIAL_DIR", "PL_DISABLE_FORK")
#: Jobs whose process is kept: it takes 100 MB.
KEPT = 3


@cache
def served() -> str:
    """The socket at which a process forks workers until this one, which starts it, has ended."""
    folder = tempfile.TemporaryDirectory()
    path = f"{folder.name}/workers"
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"],
        env={**os.environ, SOCKET: path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def end() -> None:
        server.kill()
        server.wait()
        folder.cleanup()

    atexit.register(end)
    return path


def use() -> AbstractContextManager[Any]:
    """Gives a Ray that this process starts workers from :data:`SOCKET`."""
    from ray._private.parameter import RayParams

    made = partialmethod(RayParams.__init__, setup_worker_path=str(Path(__file__).resolve()))
    return mock.patch.object(RayParams, "__init__", made)


def ask(words: list[str]) -> None:
    """Has a worker made in this process' surroundings, and waits for its end."""
    with socket.socket(socket.AF_UNIX) as server:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError):  # it still imports
                server.connect(os.environ[SOCKET])
                break
            time.sleep(0.05)
        _send(server, (words, str(Path.cwd()), dict(os.environ)), [0, 1, 2])
        server.recv(1)


def serve() -> None:
    """Forks a worker for each process that asks."""
    for name in MODULES:
        import_module(name)
    assert not {"ray", "rltune"} & sys.modules.keys()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    parents: dict[str, socket.socket] = {}  # of workers, by what they have in common
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.environ[SOCKET])
        server.listen(64)
        while True:
            asker, _ = server.accept()
            request, files = _receive(asker)
            key = _shared(*request)
            if key not in parents:
                for old in list(parents)[: 1 - KEPT]:
                    parents.pop(old).close()  # which ends it, and none of its workers
                parents[key], theirs = socket.socketpair()
                if os.fork() == 0:
                    for end in (server, asker, *parents.values()):
                        end.close()
                    for file in files:
                        os.close(file)
                    be_parent(theirs)
                theirs.close()
            _send(parents[key], request, [*files, asker.fileno()])
            for file in files:
                os.close(file)
            asker.close()


def be_parent(requests: socket.socket) -> None:
    """Imports the rest where the first worker would, then forks that and the job's others."""
    ready = False
    while True:
        try:
            request, files = _receive(requests)
        except EOFError:  # the server has ended
            os._exit(0)
        if not ready:
            surround(*request)
            folders = list(sys.path)
            for name in IMPORTED:
                with suppress(Exception):  # a worker meets it again, and Ray tells
                    import_module(name)
            sys.path[:] = folders  # rltune adds those of RLTUNE_IMPORT_PATH
            gc.freeze()
            ready = True
        if os.fork() == 0:
            requests.close()
            for number, file in enumerate(files[:3]):
                os.dup2(file, number)
            work(*request)
        for file in files:
            os.close(file)


def surround(words: list[str], folder: str, variables: dict[str, str]) -> None:
    """Gives this process a worker's folder, variables and import path."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.utils import update_envs

    update_envs(RuntimeEnvContext.deserialize(_context(words)).env_vars)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in paths if path and path not in sys.path]


def work(words: list[str], folder: str, variables: dict[str, str]) -> None:
    """The whole of a worker: what Ray's setup_worker.py does, then its default_worker.py."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    surround(words, folder, variables)
    import numpy as np
    import torch
    from ray._private.workers import setup_worker

    from rltune import import_path

    sys.path[:] = import_path.whole()
    _, sys.argv = setup_worker.parser.parse_known_args(words)
    draw_ids_apart()
    random.seed()
    np.random.seed()  # noqa: NPY002  the generator that older libraries draw from
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        os._exit(1)


def draw_ids_apart() -> None:
    """Keeps Ray's random ids of this process from those of its sisters.

    Ray draws them natively, from a state that a fork copies. Two drivers that connect to one Ray at
    once then write an object of one id, and Ray ends one of them: "Check failed: WarmupStore()".
    """
    from ray import ObjectID

    for _ in range(os.getpid() % 4096 * 8):
        ObjectID.from_random()


def _shared(words: list[str], folder: str, variables: dict[str, str]) -> str:
    """All that a worker has in common with others of its job, as text."""
    context = json.loads(_context(words))
    for late in LATE:
        context.get("env_vars", {}).pop(late, None)
    return json.dumps([context, folder, variables], sort_keys=True)


def _context(words: list[str]) -> str:
    """The runtime environment of a worker's words, as JSON."""
    option = "--serialized-runtime-env-context="
    given = [word.removeprefix(option) for word in words if word.startswith(option)]
    return given[-1] if given else "{}"


def _send(to: socket.socket, request: Sequence[object], files: Sequence[int]) -> None:
    text = json.dumps(request).encode()
    socket.send_fds(to, [len(text).to_bytes(8, "big")], files)
    to.sendall(text)


def _receive(it: socket.socket) -> tuple[tuple[list[str], str, dict[str, str]], list[int]]:
    """A request and its files; raises EOFError where there is none to come."""
    size, files, _, _ = socket.recv_fds(it, 8, 4)
    if not size:
        raise EOFError
    text = it.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    words, folder, variables = json.loads(text)
    return (words, folder, variables), files


def head(words: list[str]) -> None:
    """Runs ``ray`` with some words."""
    from ray.scripts.scripts import main

    sys.argv = ["ray", *words]
    with use():
        main()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["head", *words]:
            head(words)
        case words if any(word.endswith("default_worker.py") for word in words):
            ask(words)
        case words:  # Ray's server for remote clients
            runpy.run_module("ray._private.workers.setup_worker", run_name="__main__")
