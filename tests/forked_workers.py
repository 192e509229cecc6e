"""Ray's workers forked from a process that has imported the rest: starting is most of a sweep.

A worker spends 3 s of processor time on imports, all but 0.7 s of it on torch, pandas and others
than Ray. The cluster that tests share (``conftest.cluster_address``) gets its workers from here; a
sweep that starts a Ray of its own, as a user's does, has Ray's. This file is run in three ways:

    python forked_workers.py head WORDS...   ``ray WORDS``, with workers from here
    python forked_workers.py serve           imports, then forks a worker for each request
    python forked_workers.py ...             asks; what the head starts in place of a worker

A worker tells Ray its process id when it registers (2.60): it need not be the process that Ray
started. Ray and rltune are imported in the worker: they read variables when they are imported.
"""

from __future__ import annotations

import json
import os
import random
import runpy
import signal
import socket
import sys
import time
from contextlib import suppress
from functools import partialmethod
from importlib import import_module
from pathlib import Path

#: Variable that names the socket, for all three.
SOCKET = "RLTUNE_FORKED_WORKERS"
MODULES = (
    *("torch", "numpy.random", "gymnasium", "scipy", "tree", "PIL", "pandas"),
    *("pyarrow.dataset", "tensorboardX", "requests", "jsonschema", "fsspec", "psutil", "yaml"),
)


def ask(words: list[str]) -> None:
    """Has a worker made in this process' surroundings, and waits for its end."""
    asked = json.dumps([words, str(Path.cwd()), dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError):  # it still imports
                server.connect(os.environ[SOCKET])
                break
            time.sleep(0.05)
        socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(asked)
        server.recv(1)


def serve() -> None:
    """Forks a worker for each process that asks."""
    for name in MODULES:
        import_module(name)
    assert not {"ray", "rltune"} & sys.modules.keys()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.environ[SOCKET])
        server.listen(64)
        while True:
            asker, _ = server.accept()
            size, files, _, _ = socket.recv_fds(asker, 8, 3)
            with asker.makefile("rb") as stream:
                words, folder, variables = json.loads(stream.read(int.from_bytes(size, "big")))
            if os.fork() == 0:
                server.close()
                for number, file in enumerate(files):
                    os.dup2(file, number)
                work(words, folder, variables)
            for file in files:
                os.close(file)
            asker.close()


def work(words: list[str], folder: str, variables: dict[str, str]) -> None:
    """The whole of a worker: what Ray's setup_worker.py does, then its default_worker.py."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    import numpy as np
    import torch
    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.utils import update_envs
    from ray._private.workers import setup_worker

    setup, sys.argv = setup_worker.parser.parse_known_args(words)
    update_envs(
        RuntimeEnvContext.deserialize(setup.serialized_runtime_env_context or "{}").env_vars
    )
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in paths if path and path not in sys.path]
    random.seed()
    np.random.seed()  # noqa: NPY002  the generator that older libraries draw from
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        os._exit(1)


def head(words: list[str]) -> None:
    """Runs ``ray`` with some words."""
    from ray._private.parameter import RayParams
    from ray.scripts.scripts import main

    made = partialmethod(RayParams.__init__, setup_worker_path=str(Path(__file__).resolve()))
    RayParams.__init__ = made  # type: ignore[method-assign]
    sys.argv = ["ray", *words]
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
