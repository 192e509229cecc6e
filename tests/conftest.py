"""Shared by all tests: how to call the command line, and one Ray cluster a process."""

from __future__ import annotations

import inspect
import os
import secrets
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import forked_workers
import psutil
import pytest
from browser import chromium  # noqa: F401  one browser for all modules of a process

ROOT = Path(__file__).resolve().parents[1]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Said = Callable[..., tuple[int, str, str]]

#: What a client of a cluster needs, and what starts it; Ray reads some of it when it is imported.
CLUSTER = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
os.environ.update(CLUSTER)
# Ray would look for one in a file, which a new machine has not.
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def import_path(*folders: Path) -> str:
    """PYTHONPATH with folders in front, before what packages may be installed in."""
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([*map(str, folders), *([inherited] if inherited else [])])


def environment() -> dict[str, str]:
    """The environment of a rltune process: this checkout importable, no terminal."""
    ours = {*CLUSTER, "OMP_NUM_THREADS"}
    plain = {name: value for name, value in os.environ.items() if name not in ours}
    return {**plain, "PYTHONPATH": import_path(ROOT), "COLUMNS": "120", "TERM": "dumb"}


def run_rltune(
    folder: Path, *words: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m rltune`` in a folder and returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "rltune", *words],
        cwd=folder,
        env={**environment(), **(variables or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_python(code: str, *words: str) -> str:
    """What Python code prints in a process of its own; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment(),
    )
    return done.stdout.strip()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process waits long for another at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs ``python -m rltune`` in an empty folder, in a process that has imported it already."""
    from warm import run_rltune  # which imports this module

    return partial(run_rltune, tmp_path)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Runs a command line in this process, 80 columns wide: its exit code, stdout and stderr.

    For what starts no Ray.
    """
    from rltune.cli import main

    monkeypatch.setenv("COLUMNS", "80")

    def run(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(line))
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


# The key that signs the tests' runs is theirs alone.
_config = tempfile.TemporaryDirectory()
os.environ["XDG_CONFIG_HOME"] = _config.name

# TensorFlow, which is Keras' own choice, is not installed; Ray's processes inherit this one.
os.environ.setdefault("KERAS_BACKEND", "torch")

# Several test processes share few cores, and small networks that wait for a second thread take
# ten times as long. Read when torch is imported; commands that tests start do without it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _frames(context: int = 0) -> list[inspect.FrameInfo]:
    """What ``inspect.stack`` returns, without lines of source."""
    found, frame = [], sys._getframe(1)
    while frame is not None:
        place = frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        found.append(inspect.FrameInfo(frame, *place, None, None))
        frame = frame.f_back
    return found


# RLlib looks for its caller in this way, ten times a learner. The frames of pytest-xdist have no
# file, and the search of all modules for one takes 0.1 s each time.
inspect.stack = _frames

# No processes that wait for work, as a sweep's own Ray has none.
os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112


@pytest.fixture(scope="session", autouse=True)
def known_environments_are_tried_once() -> Iterator[None]:
    """Tries each environment of the catalog once, and not for every request: a fork takes 0.1 s."""
    from rltune import envs
    from rltune.request import preflight

    known, check, passed = (
        {info.id for info in envs.INFOS.values()},
        preflight.check_environment,
        {},
    )

    def check_once(spec: Any, algo: Any, env_args: Mapping[str, Any], *timeout: float) -> Any:
        if env_args or spec.id not in known:
            return check(spec, algo, env_args, *timeout)
        if (spec.id, algo.name) not in passed:
            passed[spec.id, algo.name] = check(spec, algo, env_args, *timeout)
        return deepcopy(passed[spec.id, algo.name])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "check_environment", check_once)
        yield


#: Three members, three intervals, on two cores; scores of few episodes.
SHORT = """\
[budget]
steps = 6_000
trials = 3
perturb_every = 2_000
target = inf
[evaluation]
episodes = 25
selection_episodes = 5
[settings]
min_sample_timesteps_per_iteration = 1_000
"""


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread of torch's: more wait for each other most of the time of tensors this small."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds short.toml, a preset that is quick to sweep, and then the runs of a module."""
    path = tmp_path_factory.mktemp("sweeps")
    (path / "short.toml").write_text(SHORT)
    return path


@pytest.fixture(scope="session")
def cluster_address() -> Iterator[str]:
    """A Ray cluster of one node with two CPUs, on loopback, for all that need not start their own.

    Its workers can import the tests' own modules.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = f"start --head --block --num-cpus 2 --include-dashboard false --port {port}".split()
    words += ["--include-log-monitor", "false"]  # it reads the logs of all workers there ever were
    head = subprocess.Popen(
        [sys.executable, forked_workers.__file__, "head", *words, "--disable-usage-stats"],
        env={
            **environment(),
            **CLUSTER,
            "PYTHONPATH": import_path(ROOT, Path(__file__).parent),
            forked_workers.SOCKET: forked_workers.served(),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.2)
    yield f"127.0.0.1:{port}"
    if ray := sys.modules.get("ray"):
        ray.shutdown()
    process = psutil.Process(head.pid)
    processes = [process, *process.children(recursive=True)]
    head.terminate()
    for each in psutil.wait_procs(processes, timeout=10)[1]:
        each.kill()
    head.wait()


@pytest.fixture(scope="session")
def object_store() -> Iterator[Any]:
    """A real S3 server with an empty bucket, on loopback: an :class:`object_store.ObjectStore`."""
    from object_store import ObjectStore

    store = ObjectStore()
    store.start()
    store.make_bucket()
    yield store
    store.stop()


@pytest.fixture
def bucket(
    object_store: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """URL of a folder of its own in the bucket, whose working copies are below ``tmp_path``."""
    from object_store import BUCKET, forget_connections

    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RLTUNE_CACHE", str(tmp_path / "here"))
    monkeypatch.delenv("RLTUNE_LEASE", raising=False)
    forget_connections()
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture(scope="module")
def ray_session(cluster_address: str) -> None:
    """Connects this process to the cluster, until a module asks for ``no_ray_session``."""
    import ray

    if not ray.is_initialized():
        ray.init(cluster_address, log_to_driver=False, logging_level="ERROR")


@pytest.fixture(scope="module")
def no_ray_session() -> Iterator[None]:
    """Leaves the cluster: a sweep in this process starts its own Ray."""
    import ray

    ray.shutdown()
    with forked_workers.use(), pytest.MonkeyPatch.context() as patch:
        patch.setenv(forked_workers.SOCKET, forked_workers.served())
        yield
