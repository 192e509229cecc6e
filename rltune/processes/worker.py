"""A forked process with an object of its own, whose methods this process calls."""

from __future__ import annotations

import gc
import logging
import math
import os
import pickle
import random
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil

from rltune.errors import EnvironmentFailed, ProcessEnded, warn_once
from rltune.processes.descendants import PATIENCE, end, end_descendants
from rltune.processes.subprocess_guard import (
    PDEATHSIG,
    Said,
    prctl,
    without_sigterm,
    without_what_a_fork_lacks,
)
from rltune.processes.tracebacks import NOTE, headline
from rltune.processes.watchdog import Boundary, watchdog

#: Seconds between two looks at whether a process that does not answer is still there.
_LOOK = 1.0
#: How much longer than a guarded call an answer is waited for: the watchdog in the process comes
#: first, unless the process is stopped.
_LATE = 2.0
CLOSE = "close"


@dataclass(frozen=True)
class Guarding:
    """How the calls in a process are guarded.

    Attributes:
        timeout: seconds that a call may take.
        folder: folder of the watchdog's report; None for no limit, as in a user's process.
        seed: of the global generators of each process, with its number.
    """

    timeout: float = math.inf
    folder: Path | None = None
    seed: int | None = None

    @property
    def limit(self) -> float:
        """Seconds after which a process that does not answer has stopped."""
        return math.inf if self.folder is None else _LATE * self.timeout


class Worker:
    """A process that makes an object and answers calls of its methods.

    It is forked, so that what this process has registered and imported is there too; all that it
    starts ends with it, and it ends with the thread that made it.

    Args:
        make: makes the object, in the process. The first :meth:`answer` is of this call.
        guarding: of each call.
        number: of this worker among several.
        others: earlier workers, whose pipes it must not hold open.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        guarding: Guarding,
        number: int = 0,
        others: Sequence[Worker] = (),
    ) -> None:
        self._limit = guarding.limit
        self._status: int | None = None
        self._link, its = Pipe()
        parent = os.getpid()
        sys.stdout.flush()
        with warnings.catch_warnings(), without_sigterm():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child needs no threads
            self.pid = os.fork()
        if not self.pid:
            for each in (*others, self):
                each._link.close()
            _work(make, guarding, number, its, parent)
        its.close()
        self._ready = select.poll()
        self._ready.register(self._link, select.POLLIN)

    def send(self, method: str, *args: Any) -> None:
        """Begins a call, whose :meth:`answer` is to be waited for."""
        with suppress(OSError):  # the answer tells how the process ended
            self._link.send((method, args))

    def answer(self) -> Any:
        """Waits for the end of the call.

        Raises:
            ProcessEnded: the call did not return, or ended the process.
            Exception: what the method raised.
        """
        try:
            value, raised, said = self._receive(self._limit)
        except (EOFError, OSError):
            raise self._ended() from None
        for text in said:
            warn_once(text)
        if raised is not None:
            raise raised.rebuilt()
        return value

    def _receive(self, limit: float) -> Any:
        """Receives an answer. Raises EOFError if the process has ended or does not answer."""
        began = time.monotonic()
        while not self._ready.poll(_LOOK * 1_000):
            # A process that the environment has forked may hold the pipe open.
            if self._has_ended() and not self._ready.poll(0):
                raise EOFError
            if time.monotonic() - began > limit:
                self.kill()
                raise EOFError
        return self._link.recv()

    def _has_ended(self) -> bool:
        if self._status is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # someone else has waited for it
                ended, status = self.pid, 0
            if ended:
                self._status = status
        return self._status is not None

    def _ended(self) -> ProcessEnded:
        how = self._how()
        told = f"a process of the environments ended {how}: killed, out of memory, or crashed"
        error = ProcessEnded(how, told)
        error.add_note(NOTE + told)  # unless its watchdog has left a report
        return error

    def _how(self) -> str:
        """How the process ended, in words."""
        until = time.monotonic() + PATIENCE
        while not self._has_ended() and time.monotonic() < until:
            time.sleep(0.01)
        code = os.waitstatus_to_exitcode(self._status or 0)
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def close(self) -> None:
        """Closes the object and ends the process."""
        self.send(CLOSE)
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while self._status is None:
                _, _, said = self._receive(min(self._limit, _LATE * 60))
                for text in said:
                    warn_once(text)
        self.kill()
        self._link.close()

    def kill(self) -> None:
        """Ends the process at once, with all that it has started."""
        if self._has_ended():
            return
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            end(process.children(recursive=True))
            process.kill()
        with suppress(ChildProcessError):
            _, self._status = os.waitpid(self.pid, 0)


@dataclass(frozen=True)
class _Raised:
    """An exception of another process: a class of a user's may not be known here."""

    pickled: bytes
    name: str
    module: str
    text: str
    headline: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> _Raised:
        """Describes an exception in the process that raised it."""
        try:
            pickled = pickle.dumps(error)
        except Exception:  # __reduce__ may raise anything
            pickled = b""
        kind, trace = type(error), "".join(traceback.format_exception(error))
        try:
            text = str(error)
        except Exception:
            text = "its message cannot be shown"
        return cls(pickled, kind.__name__, kind.__module__, text, headline(error), trace)

    def rebuilt(self) -> Exception:
        """The exception, or one of the same name, with its own place and traceback."""
        try:
            error = pickle.loads(self.pickled)
            same = (type(error).__name__, str(error)) == (self.name, self.text)
        except Exception:
            same = False
        if not same:
            body = {"__module__": self.module}
            error = type(self.name, (EnvironmentFailed,), body)(self.text)
        raised: Exception = error
        with suppress(Exception):  # a user's class may not accept notes
            raised.add_note(NOTE + self.headline)
        raised.__cause__ = _Elsewhere(self.trace)
        return raised


class _Elsewhere(Exception):
    """The traceback of another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _work(
    make: Callable[[], Any], guarding: Guarding, number: int, link: Connection, parent: int
) -> NoReturn:
    """Answers calls until the other side has closed."""
    prctl(PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    gc.freeze()  # inherited C++ objects may not survive garbage collection here
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    without_what_a_fork_lacks()
    _seed_globals(guarding.seed, number)
    logger, said = logging.getLogger("rltune"), Said()
    logger.handlers, logger.propagate = [said], False
    boundary, guard = Boundary(), watchdog(guarding.timeout, guarding.folder)
    made: Any = None
    method, args = "", ()
    while method != CLOSE:
        value: Any = None
        raised = None
        try:
            with boundary, guard:
                if made is None:
                    made = make()
                else:
                    value = getattr(made, method)(*args)
        except Exception as error:
            raised = _Raised.of(error)
        try:
            link.send((value, raised, said.texts))
            said.texts.clear()
            if method == CLOSE or (made is None and raised is not None):
                break
            method, args = link.recv()
        except (EOFError, OSError):
            break
    if hasattr(guard, "close"):
        guard.close()
    end_descendants()
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(0)


def _seed_globals(seed: int | None, number: int) -> None:
    """Gives each process other numbers: all have inherited the same generators."""
    own, other = np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(2)
    random.seed(int(own))
    np.random.seed(int(other))  # noqa: NPY002  (of environments that draw from it)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(int(own))
