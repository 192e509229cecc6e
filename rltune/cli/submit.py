"""``rltune submit ALGO ENV --address http://HOST:8265``: a sweep as a job of a cluster."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rltune.cli import console
from rltune.cli.recipe import forwarded, request
from rltune.cli.spelling import spelled, spelling
from rltune.clusters.command import Asked
from rltune.errors import BadInput, Interrupted, RltuneError

if TYPE_CHECKING:
    from rltune.clusters.jobs import Job


def run(
    *,
    algo: str,
    env: str,
    words: Mapping[str, Sequence[str]],
    wait: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Checks the request, starts the job, and shows its log until it ends."""
    address = given["address"]
    if address is None:
        raise BadInput(
            f"{spelling('address')} is missing: http://HOST:8265, the cluster's dashboard"
        )
    if not words.get("storage"):
        raise BadInput(
            f"{spelling('storage')} is missing: the folder of runs on the cluster, which all its "
            f"nodes see, as {spelling('storage')} /mnt/runs"
        )
    asked = Asked(algo, env, forwarded(words), spelled, given["ship"] or ())
    _, command = request(asked, given, None, travels=True)
    from rltune.clusters import jobs  # which imports Ray: after the checks

    if dry_run:
        files = "".join(f"\n# goes along: {path}" for path in command.files)
        console.output().print(f"{jobs.entrypoint(command)}{files}", soft_wrap=True)
        return
    job = jobs.submit(command, address, Path.cwd())
    quiet = given["quiet"] or given["json"]
    if not quiet:
        text = f"job {job.id}, whose run folder is {command.run}\n{_advice(job)}"
        console.messages.print(text, soft_wrap=True)
    for variable in command.variables:
        text = f"note: {variable} holds a secret, and must be set where Ray was started"
        console.messages.print(text, soft_wrap=True)
    if not wait:
        sys.stdout.write(f"{job.id}\n")
        return
    log = Log(given["json"])
    try:
        code = job.follow(log)
    except KeyboardInterrupt:
        raise Interrupted(f"the job continues on the cluster\n{_advice(job)}") from None
    finally:
        log.close()
    if code:
        raise _Failed(code, f"job {job.id} ended with exit code {code}")


def _advice(job: Job) -> str:
    """How to follow a job and to stop it, with Ray's own command."""
    there = f"{job.id} --address {shlex.quote(job.address)}"
    return f"follow it: ray job logs --follow {there}\nstop it: ray job stop {there}"


class Log:
    """Shows a job's log; with JSON, all but its last line goes to stderr."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._held = ""

    def __call__(self, piece: str) -> None:
        if not self._json:
            sys.stdout.write(piece)
            sys.stdout.flush()
            return
        *lines, self._held = (self._held + piece).rstrip("\n").split("\n")
        sys.stderr.writelines(f"{line}\n" for line in lines)

    def close(self) -> None:
        """Shows what is left: of a sweep that has failed, that is no JSON."""
        if self._held:
            stream = sys.stdout if self._held.startswith("{") else sys.stderr
            stream.write(f"{self._held}\n")


class _Failed(RltuneError):
    """The job failed; its log says why."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
