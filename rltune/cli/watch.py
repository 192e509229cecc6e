"""``rltune watch RUN``: attaches to a run that another process works on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from rltune.cli.console import output
from rltune.cli.live import LINE_EVERY, LiveLines, is_drawable, signs_of
from rltune.cli.outcome import outcome
from rltune.errors import Interrupted
from rltune.live import frame
from rltune.live.run_reader import RunReader
from rltune.reports.numbers import number
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary

#: Seconds between two looks into the run folder.
LOOK_EVERY = 1.0


def run(*, run_path: Path) -> None:
    """Shows a run until it ends. It is only read.

    Raises:
        BadInput: the path is no run folder.
        Interrupted: no process works on the run, which has not ended.
    """
    folder = RunFolder.open(run_path)
    reader, console = RunReader(folder), output(narrowest=0)
    reader.read()

    def lines(width: int, height: int) -> list[Text]:
        return frame.lines(reader.progress, time.time(), width, height, signs_of(console))

    if is_drawable(console):
        live = LiveLines(console, lines, threaded=False)
        with live:
            follow(reader, live.refresh)
            live.transient = reader.progress.summary is not None
    else:
        follow(reader, Lines(reader, console).show)
    if reader.progress.summary is None:
        raise Interrupted(
            f"no process works on {folder.shown}: it was stopped or killed. Continue with: "
            f"rltune resume {folder.shown}"
        )
    show_end(console, folder, reader.progress.summary)


class Lines:
    """Prints a line now and then."""

    def __init__(self, reader: RunReader, console: Console) -> None:
        self._reader, self._console = reader, console
        self._next = 0.0

    def show(self) -> None:
        """Prints one where it is due."""
        if time.monotonic() < self._next or self._reader.progress.summary is not None:
            return
        self._next = time.monotonic() + LINE_EVERY
        line = frame.plain(self._reader.progress, time.time(), signs_of(self._console))
        self._console.print(line, soft_wrap=True)


def follow(reader: RunReader, show: Callable[[], None]) -> None:
    """Reads and shows a run until it has ended, or nobody works on it any more."""
    while reader.read().summary is None:
        show()
        if reader.folder.is_held is False:
            reader.progress.halted = reader.read().summary is None  # it may have come between
            show()
            return
        time.sleep(LOOK_EVERY)


def show_end(console: Console, folder: RunFolder, summary: Summary) -> None:
    """Prints what came out of a run."""
    if summary.best is None:
        trials = number(len(summary.trials))
        console.print(
            f"{folder.shown} ended without a result: {trials} trials, {summary.stop_reason}"
        )
        return
    console.print(outcome(folder.spec, folder.job, summary), crop=False)
