"""What Ray keeps in the process that drives it: constants, options of a start, its node."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import ray
from ray._private import ray_constants
from ray.job_config import JobConfig
from ray.tune.execution import class_cache

#: Environment variables that Tune hands to each process that it starts for a trial.
TRIAL_VARIABLES: MutableMapping[str, str] = class_cache.DEFAULT_ENV_VARS
#: Environment variables of :func:`loopback`, for the processes that Ray starts.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


#: What Tune hands to them by itself.
_BY_ITSELF = dict(TRIAL_VARIABLES)


def added_variables() -> dict[str, str]:
    """Variables that Tune hands to trials' processes, and nobody to others that train trials."""
    return {} if TRIAL_VARIABLES == _BY_ITSELF else dict(TRIAL_VARIABLES)


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Sets an attribute, and puts back what it replaced."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def loopback() -> AbstractContextManager[None]:
    """Makes a Ray that this process starts listen on 127.0.0.1 alone.

    ``ray.init(_node_ip_address="127.0.0.1")`` puts the machine's own address in its place and
    listens on every interface (ray 2.60, services.resolve_ip_for_localhost; CVE-2023-48022). What
    it does on a machine that cannot form clusters is what is wanted. Processes that Ray starts
    read :data:`LOOPBACK`, this one has read it already.
    """
    return replaced(ray_constants, "ENABLE_RAY_CLUSTER", False)


def job_config(folders: list[str]) -> JobConfig:
    """A job whose workers import from these folders first, to which Ray adds when it starts.

    Ray adds the current folder (ray 2.60, worker.connect): a list that takes only what it should
    keeps it out.
    """
    config = JobConfig()
    config._py_driver_sys_path = folders
    return config


def start(cpus: int, memory: int | None, folder: str, **options: Any) -> None:
    """Starts a Ray of this machine.

    Args:
        memory: bytes that trials may reserve; None for what Ray takes the machine to have.
        folder: of its files and sockets.
        options: of ``ray.init``.

    Raises:
        ConnectionError, RuntimeError, OSError, TimeoutError: it did not come up.
    """
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        _temp_dir=folder,
        **({} if memory is None else {"_memory": memory}),
        **options,
    )


def raylets() -> list[int]:
    """Process ids of the raylets that this process has started; none once Ray has ended."""
    node = ray._private.worker._global_node
    return [raylet.process.pid for raylet in node.all_processes.get("raylet", [])] if node else []
