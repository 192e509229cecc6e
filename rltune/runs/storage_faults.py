"""Storage that fails under a run: what is tried again, and what is said where it does not pass."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rltune.errors import BadInput, MachineError
from rltune.runs.remote import location

Value = TypeVar("Value")

#: Faults of network file systems, which may pass.
PASSING = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN})
#: Faults of a storage, whatever is written.
FAULTS = PASSING | {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENXIO, errno.ENODEV}
#: Seconds between one try and the next.
WAITS = (0.1, 0.5, 2.0, 5.0)
#: Calls that write a checkpoint, in a traceback.
_WRITES = ("persist_current_checkpoint", "save_checkpoint", "save_to_path", "persist")
_NUMBER = re.compile(r"\[Errno (\d+)\]", re.IGNORECASE)


def patiently(call: Callable[[], Value]) -> Value:
    """Calls something that writes, again after a fault that may pass.

    Raises:
        OSError: a fault that does not, or that is still there after some seconds.
    """
    for wait in WAITS:
        try:
            return call()
        except OSError as error:
            if error.errno not in PASSING:
                raise
        time.sleep(wait)
    return call()


@contextmanager
def guarded(folder: Path, advice: str) -> Iterator[None]:
    """Raises MachineError for faults of the storage that a run folder is on.

    A record that could not be read for such a fault, or because the folder is gone, is one of them.

    Args:
        advice: what to type once the storage is well again.
    """
    try:
        yield
    except BadInput as error:
        cause = error.__cause__
        if not isinstance(cause, OSError):
            raise
        if cause.errno not in FAULTS and (folder / "run.json").exists():
            raise  # a damaged run: the error names the file
        raise failed(folder, cause.strerror or str(cause), advice) from error
    except OSError as error:
        inside = error.filename is not None and Path(str(error.filename)).is_relative_to(folder)
        if error.errno not in FAULTS and not inside:
            raise
        raise failed(folder, error.strerror or str(error), advice) from error


def failed(folder: Path, why: str, advice: str) -> MachineError:
    """The error of a run whose storage has failed."""
    where = location.shown(folder)
    if not (folder / "run.json").exists():
        return MachineError(
            f"run {where} is gone: it was removed while the run wrote to it, or its storage was "
            "disconnected"
        )
    return MachineError(
        f"storage of run {where} failed: {why}. What was saved is kept"
        f"{'' if where == str(folder) else f', and what was not sent, in {folder}'}: make room or "
        f"repair it, then {advice}"
    )


def fault_in(traceback: str) -> str | None:
    """The fault of the storage for which a process could not write its checkpoint, or None.

    An environment that fills a disk of its own has failed by itself.
    """
    last = next((line for line in reversed(traceback.splitlines()) if line.strip()), "")
    found = _NUMBER.search(last)
    number = int(found.group(1)) if found else 0
    if number not in FAULTS or not any(f"in {call}" in traceback for call in _WRITES):
        return None
    return os.strerror(number)
