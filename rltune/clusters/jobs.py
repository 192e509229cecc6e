"""Sweeps as jobs of a Ray cluster: Ray's job API, over HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobSubmissionClient

from rltune.clusters import own_files
from rltune.clusters.command import Command
from rltune.errors import BadInput, MachineError

#: Variables that Ray's client takes an address from in place of the one that it is given.
_ADDRESSES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
#: Loggers that tell of each package that is uploaded, whatever the level of Ray's own.
_CHATTY = ("modules.dashboard_sdk", "modules.job.sdk")
#: What Ray's client raises where a cluster does not answer as it should.
_FAILURES = (ConnectionError, OSError, RuntimeError, RayError)
NOT_THERE = (
    "error: rltune is not installed on the cluster, or not on the PATH that Ray was started with"
)


class Job:
    """A sweep that was submitted.

    Attributes:
        id: Ray's name for it.
        address: of the cluster's dashboard.
    """

    def __init__(self, client: JobSubmissionClient, id: str, address: str) -> None:
        self.id = id
        self.address = address
        self._client = client

    def follow(self, show: Callable[[str], None]) -> int:
        """Shows the job's log until it ends, and returns its exit code.

        Args:
            show: called with each piece of the log.

        Raises:
            MachineError: the cluster no longer answers.
        """
        with _told(self.address):
            asyncio.run(_each(self._client.tail_job_logs(self.id), show))
            while not self._client.get_job_status(self.id).is_terminal():
                time.sleep(1)
            details = self._client.get_job_info(self.id)
        if details.driver_exit_code is not None:
            return int(details.driver_exit_code)
        raise MachineError(f"job {self.id}: {details.message}")


def submit(command: Command, address: str, folder: Path) -> Job:
    """Starts a sweep as a job of a cluster.

    Args:
        command: what the cluster runs; its files are copied to the storage of the runs, where all
            nodes see them and where they still are when the run is resumed.
        address: ``http://HOST:8265``, of the cluster's dashboard.
        folder: that the files are relative to.

    Raises:
        BadInput: the address is none of a job API, or the cluster refuses the token.
        MachineError: the cluster does not answer.
    """
    if not address.startswith(("http://", "https://")):
        raise BadInput(
            f"address {address!r}: jobs are submitted to the dashboard of a cluster, as "
            "`address='http://HOST:8265'`"
        )
    own_files.check_size(command.files, folder)
    for name in (*(f"ray.dashboard.{each}" for each in _CHATTY), "ray"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _told(address), working_dir(command.files, folder) as there:
        client = JobSubmissionClient(address)
        started = client.submit_job(
            entrypoint=entrypoint(command),
            runtime_env={"working_dir": there} if command.files else {},
            metadata={"run": command.run},
        )
        return Job(client, started, address)


def entrypoint(command: Command) -> str:
    """Shell commands of a job."""
    there = f"command -v rltune > /dev/null || {{ echo {shlex.quote(NOT_THERE)}; exit 3; }}"
    return "\n".join([there, *copied(command), f"exec {shlex.join(command.start)}"])


def copied(command: Command) -> list[str]:
    """Shell commands that copy the user's files to where they still are when a run is resumed."""
    if not command.files:
        return []
    run = Path(command.run)
    place = shlex.quote(str(run.parent / ".shipped" / run.name))
    return [f"mkdir -p {place} && cp -R . {place} && cd {place} || exit 3"]


async def _each(log: AsyncIterator[str], show: Callable[[str], None]) -> None:
    async for piece in log:
        show(piece)


@contextmanager
def working_dir(files: Sequence[Path], folder: Path) -> Iterator[str]:
    """A folder with copies of files, and nothing else: Ray ships all of it."""
    with tempfile.TemporaryDirectory(prefix="rltune-job-") as copy:
        for path in files:
            target = Path(copy) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, target)
        yield copy


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Says in one line what Ray's client has to say of a cluster, which is at this address only."""
    elsewhere = {name: os.environ.pop(name) for name in _ADDRESSES if name in os.environ}
    try:
        yield
    except _FAILURES as error:
        raise _meant(error, address) from error
    finally:
        os.environ.update(elsewhere)


def _meant(error: Any, address: str) -> BadInput | MachineError:
    text = str(error)
    if "ray[default]" in text:
        return BadInput("the job API needs more of Ray: pip install 'rltune[cluster]'")
    if isinstance(error, AuthenticationError):
        return BadInput(
            f"the cluster at {address} did not let us in: export RAY_AUTH_MODE=token, and its "
            "token in RAY_AUTH_TOKEN or ~/.ray/auth_token"
        )
    if "404" in text:
        return BadInput(
            f"{address} is no job API: the dashboard of a cluster that was started with "
            "rltune[cluster] (or ray[default]) installed has one"
        )
    return MachineError(f"the cluster at {address} does not answer: {text.splitlines()[0][:300]}")
