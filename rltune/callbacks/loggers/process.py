"""A process that runs a tracker's library: started, asked, and ended whatever it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rltune.callbacks.loggers.trackers import TRACKERS
from rltune.errors import BadInput, RltuneError
from rltune.runs.json_text import dumps

#: Seconds that the library may take for one message: W&B tries for 90 s to reach its server.
PATIENCE = 120.0
#: Seconds that the process may take to end once it has failed.
_TO_END = 10.0
#: Most bytes that are kept of what it has printed.
_PRINTED = 1 << 16


class LoggerFailed(RltuneError):
    """A tracker's library raised, hung, or ended its process."""


class LoggerProcess:
    """A process of its own for one tracker. A signal of the terminal does not reach it.

    Args:
        name: of the tracker.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._late = self._checked = self._closed = False
        module = TRACKERS[name].module
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rltune.callbacks.loggers.child", name, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env=_variables(name),
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def check(self) -> None:
        """Waits until the library is imported; does nothing the second time.

        Raises:
            BadInput: it cannot be used with the user's settings.
            LoggerFailed: as :meth:`ask`.
        """
        if self._checked:
            return
        self._checked = True
        if problem := self._answer(None).get("problem"):
            raise BadInput(f"log: {problem}")

    def ask(self, **message: Any) -> None:
        """Calls a function of the process and waits until it has returned.

        Raises:
            BadInput: as :meth:`check`, before the first call.
            LoggerFailed: it raised, took more than :data:`PATIENCE`, or ended its process.
        """
        self.check()
        self._answer(message)

    def _answer(self, message: Mapping[str, Any] | None) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE, self._end_late)
        timer.daemon = True
        timer.start()
        line = ""
        with suppress(OSError, ValueError):  # its end is closed, or ours
            if message is not None:
                self._process.stdin.write(dumps(message) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            raise LoggerFailed(f"{self.name} {self._how()}")
        answer: dict[str, Any] = json.loads(line)
        if error := answer.get("error"):
            raise LoggerFailed(f"{self.name} raised {error}")
        return answer

    def _end_late(self) -> None:
        self._late = True
        self._kill()

    def _how(self) -> str:
        if self._late:
            return f"did not answer within {PATIENCE:g} seconds"
        self.wait()
        return f"ended its process with exit code {self._process.returncode}"

    def wait(self) -> None:
        """Lets a process end that has answered with an error, and print it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_TO_END)

    def close(self) -> None:
        """Ends the process and what it has started, at once; does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def printed(self) -> str:
        """The end of what the process has printed."""
        file = self._printed.fileno()  # whose position the process shares
        first = max(0, os.fstat(file).st_size - _PRINTED)
        return os.pread(file, _PRINTED, first).decode(errors="replace")


def check_access(names: Sequence[str]) -> None:
    """Imports the libraries of trackers as a sweep would, and ends their processes again.

    Raises:
        BadInput: one cannot be used with the user's settings.
    """
    processes = [LoggerProcess(name) for name in names]
    try:
        for process in processes:
            with suppress(LoggerFailed):  # a sweep would go on without it
                process.check()
    finally:
        for process in processes:
            process.close()


def _variables(name: str) -> dict[str, str]:
    """Variables of the process, which finds modules where this one does."""
    paths = [path or os.getcwd() for path in sys.path]  # noqa: PTH109
    return {**TRACKERS[name].variables, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
