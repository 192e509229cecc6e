"""Progress in a notebook: one line below the cell, which changes while a sweep runs."""

from __future__ import annotations

import sys
import time
from typing import Any

from rltune.callbacks.base import Callback, Event, SweepEnded, SweepStarted
from rltune.live import frame
from rltune.live.progress import Progress
from rltune.live.run_reader import RunReader

#: Seconds between two changes of the line, at least.
EVERY = 0.5
#: What IPython calls the shell of a notebook; a terminal's has another name.
SHELL = "ZMQInteractiveShell"


def in_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == SHELL


def line() -> list[Callback]:
    """The callback that shows a sweep in a notebook; none elsewhere."""
    return [NotebookLine()] if in_notebook() else []


class NotebookLine(Callback):
    """Shows what a sweep does in one line of a notebook."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._display: Any = None
        self._next = 0.0

    def on_event(self, event: Event) -> None:
        """Takes in an event, and shows it where the line is due."""
        if isinstance(event, SweepStarted):
            self._progress = RunReader(event.folder).read()
            self._progress.summary = None
        elif self._progress is not None:
            self._progress.hear(event)
        if isinstance(event, SweepStarted | SweepEnded) or time.monotonic() >= self._next:
            self._show()

    def _show(self) -> None:
        assert self._progress is not None
        self._next = time.monotonic() + EVERY
        text = {"text/plain": frame.plain(self._progress, time.time())}
        if self._display is None:
            display = sys.modules["IPython"].display.display
            self._display = display(text, raw=True, display_id=True)
        else:
            self._display.update(text, raw=True)
