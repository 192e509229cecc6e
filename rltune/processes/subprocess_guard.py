"""Runs environments in a separate process, so that a hang or crash does not affect this one."""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from rltune.errors import EnvironmentFailed, ProcessEnded, warn_once
from rltune.processes.descendants import PATIENCE, end_descendants
from rltune.processes.watchdog import Boundary, collect, watchdog

T = TypeVar("T")
#: Context around each call that may hang.
Guard = AbstractContextManager[Any]
Work = Callable[[Guard], T]
#: Bytes that a folder has room for which takes the reports of children.
ROOM = 1 << 20
#: Options of Linux's prctl(2): a signal for when the parent ends, whether a crash leaves a core
#: file, and whether descendants whose parent has ended become its own children.
PDEATHSIG, _DUMPABLE, _CHILD_SUBREAPER = 1, 4, 36


def isolated(work: Work[T], timeout: float) -> T:
    """Runs ``work(guard)`` in a forked child and returns its result; see :func:`each_isolated`.

    Raises:
        ProcessEnded: a call took too long, or the child crashed.
        Exception: any exception that the work raised.
    """
    (answer,) = each_isolated([work], timeout, 1)
    if isinstance(answer, Exception):
        raise answer
    return answer


def each_isolated(
    works: Sequence[Work[T]],
    timeout: float,
    at_a_time: int,
    each_done: Callable[[int], None] = lambda index: None,
) -> list[T | Exception]:
    """Runs each ``work(guard)`` in its own forked child and returns their results or exceptions.

    The children have no other effect on this process, and the processes that they start end with
    them. Where forking is unsafe (macOS, Windows), the works run in this process, unguarded and one
    after the other.

    Args:
        works: functions that enter the guard around each call that may hang; their results must be
            picklable.
        timeout: seconds that each guarded call may take.
        at_a_time: number of parallel children.
        each_done: called with the index of a work when it has finished or failed.

    Returns:
        In the order of the works: the result, the exception that was raised, or ProcessEnded if a
        call took too long or the child crashed.
    """
    if sys.platform != "linux":
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            return [_done_here(work, partial(each_done, i)) for i, work in enumerate(works)]
    waiting = deque(enumerate(works))
    running: dict[Connection, tuple[int, _Child[T]]] = {}
    done: dict[int, T | Exception] = {}
    with tempfile.TemporaryDirectory(prefix="rltune-", dir=_with_room()) as name:
        try:
            while waiting or running:
                while waiting and len(running) < at_a_time:
                    index, work = waiting.popleft()
                    child = _Child(work, timeout, Path(name) / str(index))
                    running[child.answer] = index, child
                for answer in wait(list(running)):
                    index, child = running[answer]  # type: ignore[index]
                    done[index] = child.result()
                    each_done(index)
                    del running[answer]  # type: ignore[arg-type]
        finally:
            for _, child in running.values():
                child.end()
    return [done[index] for index in range(len(works))]


def _with_room() -> str | None:
    """A folder for small files: the usual one, unless it has filled up; None where all have."""
    for place in (tempfile.gettempdir(), "/var/tmp", "/dev/shm"):
        with suppress(OSError):
            if shutil.disk_usage(place).free >= ROOM:
                return place
    return None


def _done_here(work: Work[T], done: Callable[[], None]) -> T | Exception:
    try:
        return work(Boundary(KeyboardInterrupt))
    except Exception as error:
        return error
    finally:
        done()


class _Child(Generic[T]):
    """A forked process that runs some work in its own child.

    Attributes:
        answer: readable once the process has finished or ended.
    """

    def __init__(self, work: Work[T], timeout: float, folder: Path) -> None:
        fork = multiprocessing.get_context("fork")
        self._folder = folder
        self.answer, its = fork.Pipe(duplex=False)
        self._process = fork.Process(target=_oversee, args=(work, timeout, folder, its))
        with warnings.catch_warnings(), without_sigterm():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child needs no threads
            self._process.start()
        its.close()

    def result(self) -> T | Exception:
        """Waits for the work; returns its result or its exception."""
        try:
            answer: T | Exception
            answer, warnings_ = self.answer.recv()
        except EOFError:
            self._process.join()
            how = _how(self._process.exitcode or 0)
            return ProcessEnded(how, collect(self._folder))
        finally:
            self.end()
        for text in warnings_:
            warn_once(text)
        return answer

    def end(self) -> None:
        """Ends the process and everything that it has started, finished or not."""
        self._process.terminate()
        self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()
        self.answer.close()


@contextmanager
def without_sigterm() -> Iterator[None]:
    """Blocks SIGTERM: a child must not receive it before its handler is installed."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _oversee(work: Work[Any], timeout: float, folder: Path, answer: Connection) -> None:
    """Lets a child do the work, and ends the processes that it leaves behind.

    When the work hangs or crashes, this process adopts the processes of a simulator, whatever
    their session. It ends with the exit code or signal of the work.
    """
    gc.freeze()  # inherited C++ objects may not survive garbage collection here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    signal.signal(signal.SIGTERM, partial(_leave, os.getppid(), folder))
    prctl(_CHILD_SUBREAPER, 1)
    prctl(PDEATHSIG, signal.SIGTERM)
    worker = os.fork()
    if worker == 0:
        prctl(PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _do(work, timeout, folder, answer)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    answer.close()
    while True:
        ended, status = os.wait()  # includes adopted processes
        if ended == worker:
            break
    end_descendants()
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        prctl(_DUMPABLE, 0)  # one core file is enough
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _leave(parent: int, folder: Path, *_: object) -> NoReturn:
    """Ends what the work has started; if the parent was killed, removes what it cannot any more."""
    end_descendants()
    if os.getppid() != parent:
        shutil.rmtree(folder.parent, ignore_errors=True)
    os._exit(0)


def prctl(option: int, value: int) -> None:
    """Sets an option of this process (Linux)."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _do(work: Work[Any], timeout: float, folder: Path, answer: Connection) -> NoReturn:
    # Discards the environments' output. A live table that replaced these streams may hold a lock.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    sys.stdout, sys.stderr = os.fdopen(nowhere, "w"), sys.__stderr__
    without_what_a_fork_lacks()
    logger, said = logging.getLogger("rltune"), Said()
    logger.handlers, logger.propagate = [said], False
    try:
        with Boundary():
            result = work(watchdog(timeout, folder))
    except Exception as error:
        result = _portable(error)
    answer.send((result, said.texts))
    os._exit(0)  # skips the exit handlers of the parent


def without_what_a_fork_lacks() -> None:
    """Keeps libraries in a forked process from threads and connections of its parent."""
    if store := sys.modules.get("ray.experimental.internal_kv"):
        store._internal_kv_reset()  # a fork has no connection to Ray: a look-up would hang
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # OpenMP's threads do not survive a fork


class Said(logging.Handler):
    """Collects log messages for the parent, since all children would log the same."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collects a message."""
        self.texts.append(record.getMessage())


def _portable(error: Exception) -> Exception:
    """Returns an error that pickle can rebuild, which a user's class may not allow."""
    try:
        sent: Exception = pickle.loads(pickle.dumps(error))
    except Exception:  # __reduce__ may raise anything
        return EnvironmentFailed(f"{type(error).__name__}: {error}")
    return sent
