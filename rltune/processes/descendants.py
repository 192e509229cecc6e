"""Ends the processes that an environment has started, together with their parent."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

#: Seconds to wait for a process to end after it was killed or asked to end.
PATIENCE = 5.0
#: Environment variable that marks the processes of rltune's own Ray instance, also those that have
#: left their parent, group and session; and its value in this process.
MARK, _OWN = "RLTUNE_STARTED_BY", uuid.uuid4().hex


def end(processes: Sequence[psutil.Process]) -> None:
    """Kills processes and waits for them."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=PATIENCE)


def end_descendants() -> None:
    """Kills every process that this one has started, repeatedly, since they may start others."""
    for _ in range(10):
        children = psutil.Process().children(recursive=True)
        if not children:
            return
        end(children)


@contextmanager
def marked() -> Iterator[None]:
    """Marks the processes that are started within the context, for :func:`end_orphans`."""
    os.environ[MARK] = _OWN
    try:
        yield
    finally:
        del os.environ[MARK]


def end_orphans() -> None:
    """Kills the processes started under :func:`marked` whose parent has ended."""
    ours = {process.pid: process for process in psutil.process_iter() if _is_marked(process)}
    known = {*ours, os.getpid()}
    end([process for process in ours.values() if _parent(process) not in known])


def _is_marked(process: psutil.Process) -> bool:
    try:
        return bool(process.environ().get(MARK) == _OWN)
    except (psutil.Error, OSError):  # another user's, or gone
        return False


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return None
