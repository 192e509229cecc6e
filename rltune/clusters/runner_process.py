"""Runs a command on a node, for a client that reads what it prints.

It travels to a cluster as it is, also to one that lacks rltune: it uses the standard library alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping


class RunnerProcess:
    """A shell script, run in a process of its own.

    Args:
        script: what the shell runs, in the folder of the job's files; ``$RLTUNE_PYTHON`` is the
            node's Python.
        variables: of the process, beside this one's.
    """

    def __init__(self, script: str, variables: Mapping[str, str]) -> None:
        around = {**os.environ, **variables, "RLTUNE_PYTHON": sys.executable}
        self._text: list[str] = []
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            env=around,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._text.append(line)

    def read(self, lines: int, patience: float = 1.0) -> tuple[list[str], int | None]:
        """What it has printed since, and its exit code; None while it runs.

        Args:
            lines: that have been read.
            patience: seconds to wait for more.
        """
        until = time.monotonic() + patience
        while len(self._text) == lines and time.monotonic() < until and self._reader.is_alive():
            time.sleep(0.05)
        if self._reader.is_alive():
            return self._text[lines:], None
        code = self._process.wait()
        return self._text[lines:], code if code >= 0 else 128 - code

    def interrupt(self) -> None:
        """Sends it what Ctrl-C sends."""
        os.killpg(self._process.pid, signal.SIGINT)
