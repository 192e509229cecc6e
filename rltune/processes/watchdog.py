"""Ends a process whose environment hangs, and records where it hung or crashed.

An environment is foreign code, often C code that holds the interpreter lock, so that neither
signals nor threads can interrupt it. The timer of :mod:`faulthandler` can, and writes the Python
stack before it ends the process. The parent process reads the report.
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
from typing import Any, Self

from rltune.errors import EnvironmentExit

#: Default limit in seconds for one call of an environment.
ENV_TIMEOUT = 60.0
#: Prefix of a report's file name in the folder of its trial.
PREFIX = ".crash-"
#: Prefixes of what :func:`collect` returns for a call that did not return, and for a crash.
HUNG, CRASHED = "EnvironmentHung", "Crashed"
#: Prefix of the report if an environment called ``os._exit``.
EXITED = "the environment ended its process with exit code "
#: How often the calls are checked within the limit.
_LOOKS = 4
#: Ends a process at once; :class:`Watchdog` replaces it for environments.
_end_process = os._exit


class Boundary(AbstractContextManager["Boundary"]):
    """Context around the calls of an environment, in a process that it must not end.

    Converts exceptions that end a process (``sys.exit``, KeyboardInterrupt) to EnvironmentExit. A
    process that the environment has forked ends at the exit of the context.

    Args:
        ours: exceptions that do not come from the environment and pass unchanged.

    Raises:
        EnvironmentExit: the environment tried to end the process.
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
    """Formats the function and line that raised an error: ``step (mine.py:12)``."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.name} ({last.filename}:{last.lineno})"


class Watchdog(Boundary):
    """Context around each call that may hang; costs a microsecond per call.

    Never interrupts a call that returns in time, and always one that takes 1.5 times the limit. The
    process then ends with exit code 1, and the report names the line where it hung. The report also
    names the line of a crash, guarded or not, and of a call of ``os._exit`` by the environment.
    :meth:`close` removes the report.

    A thread checks the calls every quarter of the limit and postpones the timer, unless it sees the
    same call twice. If a call holds the interpreter lock, the thread cannot postpone it either.

    Args:
        timeout: limit in seconds for a call.
        folder: folder of the report.
    """

    def __init__(self, timeout: float, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        handle, self._path = tempfile.mkstemp(prefix=PREFIX, dir=folder)
        self._report = os.fdopen(handle, "w")
        self._report.write(f"{timeout:g} s, thread {threading.get_ident():#x}\n")
        self._report.flush()
        self._timeout = timeout
        self._users = 1
        self._count = 0  # odd during a call
        self._closed = threading.Event()
        # If it were already enabled, the handlers that others, such as Ray, have installed since
        # would stay in place.
        faulthandler.disable()
        faulthandler.enable(self._report)
        os._exit = self._exit  # type: ignore[assignment]
        self._put_off()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        self._count += 1
        return self

    def __exit__(self, *raised: Any) -> None:
        self._count += 1
        super().__exit__(*raised)

    def _exit(self, code: int) -> None:
        """Replaces ``os._exit``, which leaves no trace; also in forked processes."""
        if os.getpid() == self._pid and self._count % 2:
            self._report.write(f"{EXITED}{code}\n")
            self._report.flush()
            faulthandler.dump_traceback(self._report)
        _end_process(code)

    def _put_off(self) -> None:
        with _timer:
            self.set_timer()

    def set_timer(self) -> None:
        """Starts the process' timer again; the caller holds its lock."""
        late = self._timeout * (1 + 1 / _LOOKS)
        faulthandler.dump_traceback_later(late, exit=True, file=self._report)

    def _watch(self) -> None:
        seen = -1
        while not self._closed.wait(self._timeout / _LOOKS):
            count = self._count
            if count % 2 == 0 or count != seen:
                self._put_off()
            seen = count

    @property
    def is_open(self) -> bool:
        """Whether it guards."""
        return not self._closed.is_set()

    def shared(self) -> Self:
        """The same for one more user: each closes it."""
        self._users += 1
        return self

    def close(self) -> None:
        """Stops guarding and removes the report, once no user is left."""
        self._users -= 1
        if self._users:
            return
        self._closed.set()
        self._thread.join()  # it must not set the timer again
        faulthandler.cancel_dump_traceback_later()
        faulthandler.enable(2)  # stderr
        if os._exit == self._exit:
            os._exit = _end_process
        self._report.close()
        Path(self._path).unlink(missing_ok=True)


#: Watchdogs by their process, limit and folder.
_watching: dict[tuple[int, float, Path], Watchdog] = {}


#: Held while the timer of this process is set.
_timer = threading.Lock()


def _before_fork() -> None:
    """Stops the timer: a child would wait for its thread, which it does not have, in setting its
    own (Python 3.11, faulthandler.cancel_dump_traceback_later)."""
    _timer.acquire()
    if _on_guard():
        faulthandler.cancel_dump_traceback_later()


def _after_fork() -> None:
    for dog in _on_guard():
        dog.set_timer()
    _timer.release()


def _on_guard() -> list[Watchdog]:
    """The watchdogs of this process."""
    return [dog for (pid, _, _), dog in _watching.items() if pid == os.getpid() and dog.is_open]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_timer.release
    )


def watchdog(timeout: float, folder: Path | None) -> Boundary | nullcontext[None]:
    """Returns a watchdog, or a context without a time limit if the limit is infinite.

    Args:
        folder: folder of the report; None in a user's process, where nothing is guarded.
    """
    if folder is None:
        return nullcontext()
    if not math.isfinite(timeout):
        return Boundary()
    # A process has one timer: the thread of a second watchdog would postpone it while a call that
    # the first one guards hangs.
    key = os.getpid(), timeout, folder
    known = _watching.get(key)
    if known is not None and known.is_open:
        return known.shared()
    for closed in [one for one, dog in _watching.items() if not dog.is_open]:
        del _watching[closed]
    _watching[key] = Watchdog(timeout, folder)
    return _watching[key]


def has_told(folder: Path) -> bool:
    """Whether a report in a folder tells that a call hung, crashed or ended its process."""
    return any(_told(_read(path)) for path in folder.glob(f"{PREFIX}*"))


def move(folder: Path, other: Path) -> None:
    """Moves the reports in a folder to another one."""
    for path in folder.glob(f"{PREFIX}*"):
        path.rename(other / path.name)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def collect(folder: Path) -> str:
    """Reads and removes the reports of ended processes in a folder.

    Returns what happened and where in the first line, and then the stack, most recent call last.
    Empty if nothing hung or crashed.
    """
    reports = []
    for path in sorted(folder.glob(f"{PREFIX}*")):
        reports.append(_told(_read(path)))
        path.unlink()
    return "\n".join(filter(None, reports))


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
    stack_text = body.partition(pattern)[2].partition("\n\n")[0]
    frames = [frame for frame in _FRAME.findall(stack_text) if frame[0] != __file__]
    file, line, function = frames[0] if frames else ("an unknown file", "0", "unknown")
    crash = fatal[1] if fatal else exited
    what = f"{CRASHED}: {crash}" if crash else f"{HUNG}: no answer for {timeout} s"
    stack = [f'  File "{file}", line {line}, in {function}' for file, line, function in frames]
    return "\n".join(
        [f"{what} (in {function}, {file}:{line})", "Stack (most recent call last):", *stack[::-1]]
    )
