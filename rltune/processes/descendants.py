"""Ends the processes that an environment has started: none outlives who started it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

#: Seconds in which a process ends once it is killed or told to.
PATIENCE = 5.0
#: The environment variable by which the processes below a Ray of our own are known, also those
#: that have left their parent, group and session behind; and its value in this process.
MARK, _OWN = "RLTUNE_STARTED_BY", uuid.uuid4().hex


def end(processes: Sequence[psutil.Process]) -> None:
    """Kills processes and waits for them."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=PATIENCE)


def end_descendants() -> None:
    """Kills every process that this one has started; until none is left, as they start others."""
    for _ in range(10):
        children = psutil.Process().children(recursive=True)
        if not children:
            return
        end(children)


@contextmanager
def marked() -> Iterator[None]:
    """What is started meanwhile, and by that, is met by :func:`end_orphans`."""
    os.environ[MARK] = _OWN
    try:
        yield
    finally:
        del os.environ[MARK]


def end_orphans() -> None:
    """Kills what was started under :func:`marked` and has lost the process that started it."""
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
