"""SIGINT and SIGTERM during a sweep: once for a snapshot and out, twice for out at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import psutil

from rltune.callbacks.base import Callbacks, SweepAbandoned
from rltune.errors import Interrupted
from rltune.runs.folder import RunFolder


class Signals:
    """Both signals mean the same; a context manager around a sweep.

    Attributes:
        interrupted: whether one has come.
    """

    def __init__(self, callbacks: Callbacks, folder: RunFolder) -> None:
        self.interrupted = False
        self._callbacks = callbacks
        self._folder = folder
        self._before: dict[signal.Signals, Any] = {}
        self._tune: Any = None
        self._main = threading.current_thread() is threading.main_thread()
        self._hook = sys.unraisablehook

    def __enter__(self) -> Signals:
        if self._main:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
            sys.unraisablehook = self._unraisable
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            sys.unraisablehook = self._hook
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_over(self, end: Callable[..., Any] | None = None) -> None:
        """Takes SIGINT back from Tune and SIGTERM from Ray, which have put their own in place.

        Args:
            end: called to end the sweep; None for what Tune has put in place.
        """
        if self._main:
            before = signal.signal(signal.SIGINT, self._handle)
            self._tune = end or before
            signal.signal(signal.SIGTERM, self._handle)

    def check(self) -> None:
        """Raises Interrupted if a signal has come. Ray may have caught what the handler raised."""
        if self.interrupted:
            raise self.interruption("before a trial ran. Continue")

    def interruption(self, advice: str = "continue") -> Interrupted:
        """What an interrupted run raises: how to continue, if there is something to continue."""
        if not self._folder.is_worth_keeping:
            return Interrupted("before the first trial ran: nothing is kept")
        return Interrupted(f"{advice} with: rltune resume {self._folder.shown}")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            self._leave_now()
        self.interrupted = True
        if self._tune is None:  # nothing has been trained yet
            self.check()
        self._callbacks.notice("stopping: the state of the sweep is being saved (again: at once)")
        self._tune(signal.SIGINT, frame)  # ends Tune's loop, and puts back what was before Tune

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Keeps a signal that came while a process was forked from being printed as a fault.

        Python continues after it, and :meth:`check` raises the exception again.
        """
        if not isinstance(unraisable.exc_value, Interrupted):
            self._hook(unraisable)

    def _leave_now(self) -> None:
        """Ends every process this one started, and itself; what is on disk stays as it is."""
        self.leave("", "interrupted", Interrupted.exit_code)

    def leave(self, message: str, why: str, code: int) -> None:
        """Ends the process from any thread, where the sweep's own may never return from Ray.

        Args:
            message: what comes before the advice how to continue.
            why: "interrupted" or "error".
            code: the exit code.
        """
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        advice = f"continue with: rltune resume {self._folder.shown}"
        if not self._folder.is_worth_keeping:
            self._folder.discard_unstarted()
            advice = "nothing is kept"
        self._callbacks.notify(SweepAbandoned(message + advice, why))
        os._exit(code)
