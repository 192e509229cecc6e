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
import traceback
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from rltune.errors import EnvironmentExit

#: Seconds that an environment gets for one call, unless told otherwise.
ENV_TIMEOUT = 60.0
#: Starts the name of a report beside the other files of its trial.
PREFIX = ".crash-"
#: Starts what :func:`collect` tells of a call that did not return, and of a crash.
HUNG, CRASHED = "EnvironmentHung", "Crashed"
#: Starts what is told where an environment called ``os._exit``.
EXITED = "the environment ended its process with exit code "
#: Looks at the calls in the time that one may take.
_LOOKS = 4
#: Ends a process at once; an environment that calls it is met by :class:`Watchdog`.
_end_process = os._exit


class Boundary(AbstractContextManager["Boundary"]):
    """``with boundary:`` around the calls of an environment, in a process that it may not end.

    What it raises to end the process (``sys.exit``, KeyboardInterrupt) becomes an exception like
    any other. A copy of the process that it has forked ends here and never runs our code.

    Args:
        ours: exceptions that are not the environment's doing and pass.

    Raises:
        EnvironmentExit: the environment raised what ends a process.
    """

    def __init__(self, *ours: type[BaseException]) -> None:
        self._ours: tuple[type[BaseException], ...] = (Exception, GeneratorExit, *ours)
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return
        if os.getpid() != self._pid:
            _end_process(1)
        if not isinstance(error, self._ours):
            said = f": {error}" if str(error) else ""
            raise EnvironmentExit(
                f"{type(error).__name__}{said} raised in {where(error)}"
            ) from error


def where(error: BaseException) -> str:
    """The function and line that raised an error: ``step (mine.py:12)``."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.name} ({last.filename}:{last.lineno})"


class Watchdog(Boundary):
    """``with watchdog:`` around each call that may hang; a microsecond a call.

    A call that returns in time is never cut off, one that takes half as long again always is. The
    process then ends with exit code 1, and the report tells where it hung. The report also tells
    where the process crashed, guarded or not, and where the environment ended it by
    ``os._exit``. It is removed by :meth:`close`.

    A thread looks at the calls every quarter of the time and puts the timer off, unless it meets
    the same call twice. Where the interpreter is held, it does not come to put it off either.

    Args:
        timeout: seconds that a call may take.
        folder: where the report lies.
    """

    def __init__(self, timeout: float, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        handle, self._path = tempfile.mkstemp(prefix=PREFIX, dir=folder)
        self._report = os.fdopen(handle, "w")
        self._report.write(f"{timeout:g} s, thread {threading.get_ident():#x}\n")
        self._report.flush()
        self._timeout = timeout
        self._count = 0  # odd while a call is under way
        self._closed = threading.Event()
        # Where it is enabled already it would leave in place what others, such as Ray, have put
        # over its handlers since.
        faulthandler.disable()
        faulthandler.enable(self._report)
        os._exit = self._exit  # type: ignore[assignment]
        self._put_off()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        self._count += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count += 1
        super().__exit__(kind, error, trace)

    def _exit(self, code: int) -> None:
        """Takes the place of ``os._exit``, which leaves no trace; also in forked copies."""
        if os.getpid() == self._pid and self._count % 2:
            self._report.write(f"{EXITED}{code}\n")
            self._report.flush()
            faulthandler.dump_traceback(self._report)
        _end_process(code)

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
        if os._exit == self._exit:
            os._exit = _end_process
        self._report.close()
        Path(self._path).unlink(missing_ok=True)


def watchdog(timeout: float, folder: Path | None) -> Boundary | nullcontext[None]:
    """A watchdog; one that never bites where the time is infinite.

    Args:
        folder: of the process's own; None in a process that is a user's, where nothing is guarded.
    """
    if folder is None:
        return nullcontext()
    return Watchdog(timeout, folder) if math.isfinite(timeout) else Boundary()


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
    exited = body.partition("\n")[0] if body.startswith(EXITED) else ""
    pattern = "Current thread 0x" if fatal or exited else f"Thread 0x{int(thread, 16):016x}"
    found = _FRAME.findall(body.partition(pattern)[2].partition("\n\n")[0])
    frames = [frame for frame in found if frame[0] != __file__]
    file, line, function = frames[0] if frames else ("an unknown file", "0", "unknown")
    crash = fatal[1] if fatal else exited
    what = f"{CRASHED}: {crash}" if crash else f"{HUNG}: no answer for {timeout} s"
    stack = [f'  File "{file}", line {line}, in {function}' for file, line, function in frames]
    return "\n".join(
        [f"{what} (in {function}, {file}:{line})", "Stack (most recent call last):", *stack[::-1]]
    )
