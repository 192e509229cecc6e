"""Ends a process whose environment hangs, and keeps where it hung or crashed.

An environment is other people's code, often C code that holds the interpreter: neither a signal nor
a thread of ours gets through to it. The timer of :mod:`faulthandler` does, and it writes the Python
stack down before it ends the process. Whoever started the process picks up the pieces.
"""

from __future__ import annotations

import faulthandler
import math
import os
import re
import tempfile
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType

#: Seconds that an environment gets for one call, unless told otherwise.
ENV_TIMEOUT = 60.0
#: Starts the name of a report beside the other files of its trial.
PREFIX = ".crash-"
#: Starts what :func:`collect` tells of a call that did not return, and of a crash.
HUNG, CRASHED = "EnvironmentHung", "Crashed"
#: Looks at the calls in the time that one may take.
_LOOKS = 4


class Watchdog(AbstractContextManager["Watchdog"]):
    """``with watchdog:`` around each call that may hang; a microsecond a call.

    A call that returns in time is never cut off, one that takes half as long again always is. The
    process then ends with exit code 1, and the report tells where it hung. The report also tells
    where the process crashed, guarded or not. It is removed by :meth:`close`.

    A thread looks at the calls every quarter of the time and puts the timer off, unless it meets
    the same call twice. Where the interpreter is held, it does not come to put it off either.

    Args:
        timeout: seconds that a call may take.
        folder: where the report lies.
    """

    def __init__(self, timeout: float, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handle, self._path = tempfile.mkstemp(prefix=PREFIX, dir=folder)
        self._report = os.fdopen(handle, "w")
        self._report.write(f"{timeout:g} s, thread {threading.get_ident():#x}\n")
        self._report.flush()
        self._timeout = timeout
        self._count = 0  # odd while a call is under way
        self._closed = threading.Event()
        faulthandler.enable(self._report)
        self._put_off()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def __enter__(self) -> Watchdog:
        self._count += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count += 1

    def _put_off(self) -> None:
        late = self._timeout * (1 + 1 / _LOOKS)
        faulthandler.dump_traceback_later(late, exit=True, file=self._report)

    def _watch(self) -> None:
        seen = -1
        while not self._closed.wait(self._timeout / _LOOKS):
            count = self._count
            if count % 2 == 0 or count != seen:
                self._put_off()
            seen = count

    def close(self) -> None:
        """Guards no more."""
        self._closed.set()
        self._thread.join()  # it must not set the timer once more
        faulthandler.cancel_dump_traceback_later()
        faulthandler.enable(2)  # stderr
        self._report.close()
        Path(self._path).unlink(missing_ok=True)


def watchdog(timeout: float, folder: Path | None) -> Watchdog | nullcontext[None]:
    """A watchdog; one that never bites where the time is infinite or there is no folder."""
    if folder is None or not math.isfinite(timeout):
        return nullcontext()
    return Watchdog(timeout, folder)


def collect(folder: Path) -> str:
    """What the processes that ended left in a folder, for a person to read; the files go.

    The first line names what happened and where, the stack follows, most recent call last. Empty
    if nothing hung or crashed.
    """
    found = []
    for path in sorted(folder.glob(f"{PREFIX}*")):
        found.append(_told(path.read_text(encoding="utf-8", errors="replace")))
        path.unlink()
    return "\n".join(filter(None, found))


_FATAL = re.compile(r"^Fatal Python error: (.+)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


def _told(report: str) -> str:
    header, _, body = report.partition("\n")
    timeout, _, thread = header.partition(" s, thread ")
    if not body.strip():
        return ""
    fatal = _FATAL.search(body)
    pattern = "Current thread 0x" if fatal else f"Thread 0x{int(thread, 16):016x}"
    frames = _FRAME.findall(body.partition(pattern)[2].partition("\n\n")[0])
    file, line, function = frames[0] if frames else ("an unknown file", "0", "unknown")
    what = f"{CRASHED}: {fatal[1]}" if fatal else f"{HUNG}: no answer for {timeout} s"
    stack = [f'  File "{file}", line {line}, in {function}' for file, line, function in frames]
    return "\n".join(
        [f"{what} (in {function}, {file}:{line})", "Stack (most recent call last):", *stack[::-1]]
    )
