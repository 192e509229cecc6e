"""Ray for the time of one sweep: our own, closed to the network and quiet, or one that runs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import ray
from ray.util.client import ray as ray_client

from rltune.errors import BadInput, MachineError
from rltune.processes import descendants, machine
from rltune.request import batches, capacity
from rltune.spec import RunSpec
from rltune.sweeps import connection
from rltune.sweeps.ray_adapter import driver
from rltune.sweeps.room import check_fits, processes
from rltune.sweeps.surroundings import (
    QUIET,
    changed,
    job_config,
    surroundings,
    temporary_folder,
    trials_of_a_running_ray,
)
from rltune.tasks import Task


@contextmanager
def ray_session(task: Task, notice: Callable[[str], None]) -> Iterator[int]:
    """Starts Ray here, connects to the address asked for, or joins the Ray of this process.

    Yields the number of trials that run at a time. What was started or connected to is left on the
    way out; a Ray that was joined stays as it is.

    A Ray of our own is exactly as large as the trials that shall run at a time. It listens on
    127.0.0.1 alone and has no dashboard.

    Args:
        notice: notified of what a person should know of a cluster.

    Raises:
        MachineError: Ray does not start, or the cluster does not answer.
        BadInput: the Ray that is used can never hold one trial, or is not the one asked for.
    """
    spec = task.spec
    joined = ray.is_initialized()
    with surroundings(own_ray=not joined and spec.resources.address is None):
        if joined:
            _check_joined(spec)
        elif spec.resources.address is not None:
            connection.connect(spec, spec.resources.address)
        else:
            _start(task)
        try:
            with ExitStack() as stack:
                if joined:
                    stack.enter_context(trials_of_a_running_ray(spec))
                    connection.check_nodes(spec, notice)
                elif spec.resources.address is not None:
                    connection.equip(spec, spec.resources.address, notice)
                check_fits(task)
                slots = slots_now(task)
                # Processes for every slot start at once; Tune would start one after the other.
                pending = {"TUNE_MAX_PENDING_TRIALS_PG": str(slots)}
                stack.enter_context(changed(os.environ, pending))
                yield slots
        finally:
            if not joined:
                _shut_down()


def _shut_down() -> None:
    """Ends Ray, and every process below a Ray of our own: no environment is left alive."""
    below = [
        child for pid in driver.raylets() for child in psutil.Process(pid).children(recursive=True)
    ]
    ray.shutdown()
    descendants.end(psutil.wait_procs(below, timeout=descendants.PATIENCE)[1])
    descendants.end_orphans()


def _check_joined(spec: RunSpec) -> None:
    """Refuses a Ray that this process is connected to and that is not the one asked for."""
    if ray_client.is_connected():
        raise BadInput(connection.NO_CLIENT)
    here = ray.get_runtime_context().gcs_address
    address = spec.resources.address
    if address not in (None, "auto", here):
        raise BadInput(
            f"this process is connected to the Ray at {here} already, and {address} was asked "
            "for: leave out the address to use that Ray, or call ray.shutdown() first"
        )


def _start(task: Task) -> None:
    before = _children()
    try:
        with descendants.marked():
            driver.start(
                cpus=_cpus_here(task),
                memory=_memory_here(),
                folder=temporary_folder(),
                log_to_driver=False,
                logging_level=QUIET,
                job_config=job_config(),
            )
    except BaseException as error:  # Ctrl-C, too
        _end_what_started(before)
        if isinstance(error, ConnectionError | RuntimeError | OSError | TimeoutError):
            raise MachineError(f"Ray did not start: {error}") from error
        raise


def _cpus_here(task: Task) -> int:
    """CPUs of a Ray of our own: as many as the processes that shall run at a time need."""
    return max(1, math.ceil(capacity.at_a_time(task.spec, task.cpus) * task.cpus))


def _memory_here() -> int | None:
    """Memory that trials may reserve, where less is granted than Ray takes the machine to have."""
    return machine.free_memory().amount if machine.memory().limit else None


def _children() -> set[int]:
    return {process.pid for process in psutil.Process().children()}


def _end_what_started(before: set[int]) -> None:
    """Ends the processes of a Ray that did not come up; until this one ends nobody else would."""
    with suppress(Exception):
        ray.shutdown()
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if process.pid not in before and any("/ray/" in word for word in process.cmdline()):
                process.kill()
                process.wait(timeout=5)


def slots_now(task: Task) -> int:
    """Trials that run at a time on what Ray has now."""
    spec, fit = task.spec, processes(task)
    if batches.is_batched(spec):
        groups, seats = batches.size(spec, fit)
        return min(groups * seats, spec.resources.concurrent or groups * seats)
    return min(fit, spec.resources.concurrent or fit, spec.budget.trials)
