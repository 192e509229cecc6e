"""Other people's code in a process of its own, so that a hang or a crash does not take us along."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from rltune.errors import ProcessEnded
from rltune.watchdog import collect, watchdog

T = TypeVar("T")
#: Entered around each call that may hang.
Guard = AbstractContextManager[Any]
Work = Callable[[Guard], T]


def isolated(work: Work[T], timeout: float) -> T:
    """What ``work(guard)`` returns, done in a forked child; see :func:`each_isolated`."""
    return each_isolated([work], timeout, 1)[0]


def each_isolated(works: Sequence[Work[T]], timeout: float, at_a_time: int) -> list[T]:
    """What each ``work(guard)`` returns, done in a forked child of its own.

    Nothing else that they do reaches this process, and the first exception of any is raised here.
    Where processes cannot be forked safely (macOS, Windows) they are done here, unguarded and one
    after the other.

    Args:
        works: each enters the guard around each call that may hang; returns what can be pickled.
        timeout: seconds that each of those calls may take.
        at_a_time: children that run side by side.

    Raises:
        ProcessEnded: a call took too long, or the child crashed.
    """
    if sys.platform != "linux":
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            return [work(nullcontext()) for work in works]
    waiting = deque(enumerate(works))
    running: dict[Connection, tuple[int, _Child[T]]] = {}
    done: dict[int, T] = {}
    with tempfile.TemporaryDirectory(prefix="rltune-") as name:
        try:
            while waiting or running:
                while waiting and len(running) < at_a_time:
                    index, work = waiting.popleft()
                    child = _Child(work, timeout, Path(name) / str(index))
                    running[child.answer] = index, child
                for answer in wait(list(running)):
                    index, child = running[answer]  # type: ignore[index]
                    done[index] = child.result()
                    del running[answer]  # type: ignore[arg-type]
        finally:
            for _, child in running.values():
                child.end()
    return [done[index] for index in range(len(works))]


class _Child(Generic[T]):
    """A forked process that does some work.

    Attributes:
        answer: ready to be read once the process is done, or gone.
    """

    def __init__(self, work: Work[T], timeout: float, folder: Path) -> None:
        fork = multiprocessing.get_context("fork")
        self._folder = folder
        self.answer, its = fork.Pipe(duplex=False)
        self._process = fork.Process(target=_do, args=(work, timeout, folder, its))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child needs no threads
            self._process.start()
        its.close()

    def result(self) -> T:
        """What its work returned, or raised; waits for it."""
        try:
            value, error = self.answer.recv()
        except EOFError:
            self._process.join()
            how = _how(self._process.exitcode or 0)
            raise ProcessEnded(how, collect(self._folder)) from None
        finally:
            self.end()
        if error is not None:
            raise error
        done: T = value
        return done

    def end(self) -> None:
        """Ends the process, done or not."""
        self._process.kill()
        self._process.join()
        self.answer.close()


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _do(work: Work[T], timeout: float, folder: Path, answer: Connection) -> None:
    gc.freeze()  # what came along is not ours to clear away: C++ objects may not survive it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it
    # What environments print would bury ours. A live table that took these over may hold a lock.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    sys.stdout, sys.stderr = os.fdopen(nowhere, "w"), sys.__stderr__
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # OpenMP's threads did not come along
    try:
        result: tuple[T | None, Exception | None] = (work(watchdog(timeout, folder)), None)
    except Exception as error:
        result = (None, error)
    answer.send(result)
    os._exit(0)  # what the parent does when it exits is not the child's to do
