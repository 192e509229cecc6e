"""What a sweep changes in its process for Ray's sake, and puts back: variables, loggers, printing.

The process is a user's: a notebook, or a script that starts Ray and Tune itself.
"""

from __future__ import annotations

import logging
import os
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ray.job_config import JobConfig

from rltune import import_path
from rltune.clusters.own_code import INSTALLED
from rltune.envs import arguments
from rltune.errors import MachineError
from rltune.runs import signatures
from rltune.runs.remote import copy as working_copy
from rltune.spec import RunSpec
from rltune.sweeps.ray_adapter import console, driver, losses

#: Ray and Tune read these when they start, not when they are imported.
VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # A trial may report before its first episode has ended.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # A trial's folder holds what rltune writes; Ray must not change into it.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # One idle Python process for each CPU: trials get processes of their own and never take them.
    "RAY_prestart_worker_first_driver": "0",
    # rltune writes its own state; Tune's comes once, at the end.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    **losses.VARIABLES,
}
#: What an environment prints lands in Ray's logs: 20 MB of it are kept for each process.
LOG_ROTATION = {"RAY_ROTATION_MAX_BYTES": str(10 << 20), "RAY_ROTATION_BACKUP_COUNT": "1"}
QUIET = logging.CRITICAL
#: The folder that rltune is in.
CHECKOUT = str(Path(__file__).resolve().parents[2])
LOGGERS = ("ray", "ray.tune", "ray.rllib", "ray.data")
#: Bytes of a Unix socket's path (104 on macOS), less those that Ray adds to its folder.
SOCKET_PATH = (103 if sys.platform == "darwin" else 107) - len(
    "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
)

#: Bytes and files that Ray's folder must have room for.
ROOM, FILES = 16 << 20, 256


@contextmanager
def surroundings(own_ray: bool) -> Iterator[None]:
    """Variables and loggers as a sweep needs them, until it ends.

    Args:
        own_ray: whether the sweep starts Ray, whose processes inherit the variables.
    """
    rotation = {name: value for name, value in LOG_ROTATION.items() if name not in os.environ}
    wanted = {**rotation, **VARIABLES, **_import_paths()}
    with ExitStack() as stack:
        if not own_ray:
            wanted |= {working_copy.SENDS: "1"}
        if own_ray:
            wanted |= driver.LOOPBACK
            stack.enter_context(driver.loopback())
        stack.enter_context(changed(os.environ, wanted))
        stack.enter_context(console.silenced())
        for logger in map(logging.getLogger, LOGGERS):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(QUIET)
        yield


@contextmanager
def changed(mapping: MutableMapping[str, str], values: Mapping[str, str]) -> Iterator[None]:
    """Sets values in a mapping, and puts back what they replaced."""
    before = {name: mapping.get(name) for name in values}
    mapping.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                mapping.pop(name, None)
            else:
                mapping[name] = value


@contextmanager
def trials_of_a_running_ray(spec: RunSpec) -> Iterator[None]:
    """Gives trials what the processes of a Ray that runs already could not inherit.

    That is the path their modules are on, and secrets.
    """
    paths = _import_paths()
    paths["PYTHONPATH"] += os.pathsep + "${PYTHONPATH}"
    variables = {**paths, **_given(), **secrets(spec)}
    with changed(driver.TRIAL_VARIABLES, variables):
        yield


def for_other_machines(spec: RunSpec) -> dict[str, str]:
    """Variables that trials on a cluster's machines cannot inherit."""
    late = {import_path.LATE: _import_paths()[import_path.LATE]}
    found = {**late, **_given(), **secrets(spec)}
    return {name: value for name, value in found.items() if value}


def _given() -> dict[str, str]:
    """Variables of rltune's own: the key, and what a run in an object store is known by."""
    key = signatures.VARIABLE
    return {**({key: os.environ[key]} if key in os.environ else {}), **working_copy.variables()}


def secrets(spec: RunSpec) -> dict[str, str]:
    """Secret arguments of the environment, which trials find in their variables."""
    names = arguments.secret_variables(spec.env_options.env_args)
    return {name: os.environ[name] for name in names}


def _import_paths() -> dict[str, str]:
    """Variables with which workers import what the driver can, in the driver's order.

    What comes before Python's own library (a checkout, the folder of a user's script) is in
    PYTHONPATH; what comes after the installed packages is in RLTUNE_IMPORT_PATH.
    """
    paths = [path or str(Path.cwd()) for path in sys.path]
    library = paths.index(INSTALLED[0]) if INSTALLED[0] in paths else len(paths)
    before, after = map(_own, (paths[:library], paths[library:]))
    if not CHECKOUT.startswith(INSTALLED):
        before.insert(0, CHECKOUT)
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(p for p in (*before, *inherited) if p)),
        import_path.LATE: os.pathsep.join(after),
    }


def _own(paths: Iterable[str]) -> list[str]:
    """Those that are none of Python's, nor of an installed package."""
    scripts = sysconfig.get_path("scripts")  # first, where rltune was started by its name
    return [path for path in paths if path != scripts and not path.startswith(INSTALLED)]


class _OwnPaths(list[str]):
    """Folders that a job's workers import from first: Ray adds to it when it starts."""

    def __init__(self, without: Collection[str]) -> None:
        super().__init__()
        self._without = without

    def extend(self, paths: Iterable[str]) -> None:
        """Leaves out the current folder, unless it comes first in this process too."""
        own = _import_paths()["PYTHONPATH"].split(os.pathsep)
        super().extend(path for path in paths if path in own and path not in self._without)


def job_config(without: Collection[str] = ()) -> JobConfig:
    """A job whose workers do not import from the current folder before what is installed.

    Else they would (ray 2.60, worker.connect), and a ``torch.py`` that lies there would be run.

    Args:
        without: further folders that they do not import from.
    """
    return driver.job_config(_OwnPaths(without))


def temporary_folder() -> str:
    """A folder for Ray's files, its path short enough for the sockets in it, with room for them.

    The one that Ray itself takes (RAY_TMPDIR, TMPDIR), or else one under /tmp.

    Raises:
        MachineError: no such folder can be written.
    """
    if sys.platform == "win32":
        return str(Path(tempfile.gettempdir()) / "ray")
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    tried = [Path(usual).absolute() / "ray"]
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        tried += [Path(place) / "ray", Path(place) / f"ray-{os.getuid()}"]
    lacks: dict[Path, str] = {}
    for folder in tried:
        lacks[folder] = _lack(folder)
        if not lacks[folder]:
            return str(folder)
    told = "; ".join(dict.fromkeys(f"{path.parent} {lack}" for path, lack in lacks.items()))
    raise MachineError(
        f"Ray needs a folder for its sockets and logs: {told}. Make room, or set RAY_TMPDIR to a "
        "short path on a local disk"
    )


def _lack(folder: Path) -> str:
    """Why a folder cannot be Ray's; empty where it can."""
    if len(os.fsencode(folder)) > SOCKET_PATH:
        return f"is too long a path (more than {SOCKET_PATH} bytes)"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = os.statvfs(folder)
    except OSError as error:
        return f"cannot be written ({error.strerror or error})"
    if (left := free.f_bavail * free.f_frsize) < ROOM:
        return f"is full ({left / 2**20:.1f} MiB are free, {ROOM >> 20} are needed)"
    if free.f_files and free.f_favail < FILES:  # some file systems do not count them
        return f"is full ({free.f_favail} more files fit, {FILES} are needed)"
    return ""
