"""Shared by all tests: how to call the command line, and one Ray session a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def import_path(*folders: Path) -> str:
    """PYTHONPATH with folders in front, before what packages may be installed in."""
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([*map(str, folders), *([inherited] if inherited else [])])


def environment() -> dict[str, str]:
    """The environment of a rltune process: this checkout importable, no terminal."""
    return {**os.environ, "PYTHONPATH": import_path(ROOT), "COLUMNS": "120", "TERM": "dumb"}


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


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs ``python -m rltune`` in an empty folder and returns the finished process."""
    return partial(run_rltune, tmp_path)


#: What a client of a cluster needs, and what starts it.
CLUSTER = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}

# The key that signs the tests' runs is theirs alone.
_config = tempfile.TemporaryDirectory()
os.environ["XDG_CONFIG_HOME"] = _config.name

# TensorFlow, which is Keras' own choice, is not installed; Ray's processes inherit this one.
os.environ.setdefault("KERAS_BACKEND", "torch")

# No processes that wait for work, as a sweep's own Ray has none.
os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112


#: Three members, four intervals, on two cores.
SHORT = """\
[budget]
steps = 8_000
trials = 3
perturb_every = 2_000
target = inf
[settings]
min_sample_timesteps_per_iteration = 1_000
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds short.toml, a preset that is quick to sweep, and then the runs of a module."""
    path = tmp_path_factory.mktemp("sweeps")
    (path / "short.toml").write_text(SHORT)
    return path


@pytest.fixture(scope="session")
def cluster_address() -> Iterator[str]:
    """A Ray cluster of one node with two CPUs, on loopback.

    Its workers can import the tests' own modules.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = f"start --head --block --num-cpus 2 --include-dashboard false --port {port}".split()
    paths = import_path(ROOT, Path(__file__).parent)
    head = subprocess.Popen(
        [str(Path(sys.executable).with_name("ray")), *words, "--disable-usage-stats"],
        env={**environment(), **CLUSTER, "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.2)
    yield f"127.0.0.1:{port}"
    processes = [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]
    head.terminate()
    for process in psutil.wait_procs(processes, timeout=10)[1]:
        process.kill()
    head.wait()


@pytest.fixture(scope="module")
def ray_session() -> None:
    """Ray with two CPUs. It stays for the modules to come: starting it takes seconds."""
    import ray

    if not ray.is_initialized():
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address="127.0.0.1",
        )


@pytest.fixture(scope="module")
def no_ray_session() -> None:
    """Ends that of an earlier module: a sweep in this process starts its own Ray."""
    import ray

    ray.shutdown()
