"""Other people's code in a process of its own, so that a hang or a crash does not take us along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from rltune.errors import ProcessEnded
from rltune.watchdog import collect, watchdog

T = TypeVar("T")
#: Entered around each call that may hang.
Guard = AbstractContextManager[Any]
Work = Callable[[Guard], T]


def isolated(work: Work[T], timeout: float) -> T:
    """What ``work(guard)`` returns, done in a forked child; an exception of its is raised here.

    Nothing else that it does reaches this process. Where processes cannot be forked safely (macOS,
    Windows) it is done here, and unguarded.

    Args:
        work: enters the guard around each call that may hang; returns what can be pickled.
        timeout: seconds that each of those calls may take.

    Raises:
        ProcessEnded: a call took too long, or the child crashed.
    """
    if sys.platform != "linux":
        return work(nullcontext())
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="rltune-") as name:
        mine, its = fork.Pipe(duplex=False)
        child = fork.Process(target=_child, args=(work, timeout, Path(name), its))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child needs no threads
            child.start()
        its.close()
        try:
            value, error = mine.recv()
        except EOFError:
            child.join()
            raise ProcessEnded(_how(child.exitcode or 0), collect(Path(name))) from None
        finally:
            child.kill()
            child.join()
    if error is not None:
        raise error
    done: T = value
    return done


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _child(work: Work[T], timeout: float, folder: Path, answer: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # it may print, as it may while it trains
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # OpenMP's threads did not come along
    try:
        result: tuple[T | None, Exception | None] = (work(watchdog(timeout, folder)), None)
    except Exception as error:
        result = (None, error)
    answer.send(result)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # what the parent does when it exits is not the child's to do
