"""Sweeps on a cluster that Ray Client reaches, ``ray://HOST:10001``: the command runs on its head.

Tune drives trials by what is in its own process, so that it cannot run on the client's side.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rltune.clusters import nodes, own_files, runner_process
from rltune.clusters.command import Command
from rltune.clusters.jobs import copied, working_dir
from rltune.clusters.shipment import Shipment
from rltune.errors import BadInput, MachineError

# It travels as it is: the cluster may lack rltune.
cloudpickle.register_pickle_by_value(runner_process)


class ClientJob:
    """A sweep that runs on the head of a cluster for as long as this process is connected to it."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def follow(self, show: Callable[[str], None]) -> int:
        """Shows what the command prints until it ends, and returns its exit code.

        Ctrl-C is passed on: the sweep then saves what it has and ends.

        Raises:
            MachineError: the connection is lost.
        """
        lines, code = 0, None
        try:
            while code is None:
                try:
                    text, code = ray.get(self._runner.read.remote(lines))
                    lines += len(text)
                    show("".join(text))
                except KeyboardInterrupt:
                    ray.get(self._runner.interrupt.remote())
        except (ConnectionError, RayError) as error:
            raise MachineError(f"the connection to the cluster is lost: {error}") from error
        return int(code)


@contextmanager
def submitted(command: Command, address: str, folder: Path) -> Iterator[ClientJob]:
    """Runs a sweep on a cluster's head while the context lasts.

    Args:
        command: what runs there; its files are copied to the storage of the runs.
        address: ``ray://HOST:PORT``.
        folder: that the files are relative to.

    Raises:
        BadInput: the cluster is of another Ray or Python.
        MachineError: the cluster does not answer.
    """
    nodes.check_answers(address)
    own_files.check_size(command.files, folder)
    logging.getLogger("ray").setLevel(logging.ERROR)
    with ExitStack() as stack:
        environment: dict[str, Any] = {
            "py_modules": stack.enter_context(Shipment(True, ()).folders())
        }
        if command.files:
            environment["working_dir"] = stack.enter_context(working_dir(command.files, folder))
        try:
            ray.init(address, runtime_env=environment, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, OSError, RayError) as error:
            raise _meant(address, error) from error
        stack.callback(ray.shutdown)
        yield ClientJob(_runner(command))


def _runner(command: Command) -> Any:
    """The command's process, on the head, with the token that the cluster was started with."""
    (head,) = [n for n in ray.nodes() if n["Alive"] and "node:__internal_head__" in n["Resources"]]
    remote = ray.remote(runner_process.RunnerProcess).options(
        num_cpus=0,
        max_concurrency=4,
        scheduling_strategy=NodeAffinitySchedulingStrategy(head["NodeID"], soft=False),
    )
    variables = {name: os.environ[name] for name in command.variables if name in os.environ}
    variables["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    return remote.remote(script(command), variables)


def script(command: Command) -> str:
    """Shell commands of the sweep, with the Python that the cluster runs on."""
    words = shlex.join(command.start[1:])
    return "\n".join([*copied(command), f'exec "$RLTUNE_PYTHON" -m rltune {words}'])


def _meant(address: str, error: Exception) -> BadInput | MachineError:
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return BadInput(f"the cluster at {address} is of another Ray or Python: {text}")
    return MachineError(
        f"no Ray Client server answers at {address}: {text[:300]}. It is on port 10001 of the "
        "head, and asks for a token: export RAY_AUTH_MODE=token"
    )
