"""A sweep as a person at the terminal sees it: one live table, or a line now and then."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleRenderable, Group
from rich.control import Control
from rich.filesize import decimal
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from rltune.callbacks.base import (
    Callback,
    Event,
    Notice,
    SweepAbandoned,
    SweepEnded,
    SweepStarted,
)
from rltune.cli.console import output
from rltune.cli.outcome import outcome
from rltune.errors import Interrupted
from rltune.live import frame
from rltune.live.progress import Progress
from rltune.live.run_reader import RunReader
from rltune.live.text import ASCII, UTF8, Signs, cut
from rltune.request.capacity import replay_layouts
from rltune.runs.folder import RunFolder

#: Seconds between two lines where there is no terminal to draw on.
LINE_EVERY = 30.0
#: Frames a second: each costs the machine that trains a moment.
FRAMES = 2
#: Shows the cursor of a terminal.
SHOW_CURSOR = b"\x1b[?25h"

Lines = Callable[[int, int], list[Text]]


def signs_of(console: Console) -> Signs:
    """The characters that a console can show."""
    return ASCII if console.options.ascii_only else UTF8


class LiveLines(Live):
    """Lines that are drawn in place, also after the window has been resized.

    A terminal that gets narrower continues a line on the next one. Rich would go up by the lines
    that it wrote, and leave the others behind (rich 1218, 2594).

    Args:
        lines: makes them for a width and a height.
    """

    def __init__(self, console: Console, lines: Lines, *, threaded: bool) -> None:
        self._lines = lines
        self._frame: list[Text] = []
        #: Widths of the lines that are on the screen, its size then, and rows that have left it.
        self._drawn: list[int] = []
        self._size, self._left = console.size, 0
        super().__init__(
            get_renderable=self._render,
            console=console,
            refresh_per_second=FRAMES,
            auto_refresh=threaded,
            transient=True,
        )

    def _render(self) -> Group:
        width, height = self.console.size
        self._frame = self._lines(width, height)
        for line in self._frame:
            line.no_wrap, line.overflow = True, "crop"
        return Group(*self._frame)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Puts what is printed above the lines, and these below it."""
        size = self.console.size
        rows = sum(max(1, math.ceil(drawn / max(1, size.width))) for drawn in self._drawn)
        extra = rows - len(self._drawn)
        if size != self._size:  # a higher window shows again what had left it at the top
            extra += self._left
            self._left = max(0, rows + self._left - size.height)
        if not all(isinstance(each, Control) for each in renderables):
            self._left = 0  # what is printed stays
        self._size, self._drawn = size, [line.cell_len for line in self._frame]
        clear = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)) * extra
        return [
            Control(ControlType.CARRIAGE_RETURN, *clear),
            *super().process_renderables(renderables),
        ]


class Watcher(Callback):
    """Keeps what is known of a sweep; a subclass shows it. A context manager around the sweep.

    Attributes:
        progress: None until the run folder is made.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.folder: RunFolder | None = None
        self.progress: Progress | None = None
        self.text = ""
        #: Whether what came out is printed at the end of a run.
        self.outcomes = True
        self.lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def waiting(self, text: str) -> None:
        """What is going on before the sweep starts."""
        self.text = text

    def on_event(self, event: Event) -> None:
        """Takes in an event, then passes it on to the methods for its kind."""
        with self.lock:
            if self.progress is not None:
                self.progress.hear(event)
        super().on_event(event)

    def on_start(self, event: SweepStarted) -> None:
        """Prints where the run is kept; a resumed one has its trials from before."""
        progress = RunReader(event.folder).read()
        progress.summary, progress.notice = None, "starting Ray"
        self.folder, self.progress = event.folder, progress
        hint = f"; if it is stopped: rltune resume {event.folder.shown}"
        self.console.print(f"run folder {event.folder.shown}{hint}", style="dim", soft_wrap=True)
        for layout in replay_layouts(event.spec):
            size = decimal(layout.nbytes)
            self.console.print(f"each replay buffer takes {size} of memory when full", style="dim")

    def on_end(self, event: SweepEnded) -> None:
        """Prints what came out."""
        if self.outcomes and event.summary.best is not None and self.progress is not None:
            # Commands are whole in a window of any width.
            spec, job = self.progress.spec, self.progress.job
            self.console.print(outcome(spec, job, event.summary), crop=False)

    def on_abandoned(self, event: SweepAbandoned) -> None:
        """Says how to continue, below what is on the screen: no lock is taken, nothing buffered."""
        os.write(2, f"\n{event.why}: {event.advice}\n".encode())


class LiveWatcher(Watcher):
    """Draws a table in place. It stays where the sweep ends without a result."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = LiveLines(console, self.lines, threaded=True)
        self._frame: tuple[object, list[Text]] = (None, [])

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        summary = self.progress.summary if self.progress else None
        self._live.transient = summary is not None and summary.best is not None
        self._live.stop()

    def on_notice(self, event: Notice) -> None:
        """Prints it above the table."""
        self.console.print(Text(event.text, "dim"), soft_wrap=True)

    def lines(self, width: int, height: int) -> list[Text]:
        """What is drawn; made again once a second, or where the phase or the window changes."""
        # A signal may find the main thread in here, and print: it must not wait for this one.
        if not self.lock.acquire(timeout=0.1):
            return self._frame[1]
        try:
            if self.progress is None:
                return [cut(self.text, width - 1, signs_of(self.console), "bold")]
            now = time.time()
            key = (int(now), width, height, self.progress.phase, self.progress.notice)
            if self._frame[0] != key:
                signs = signs_of(self.console)
                self._frame = (key, frame.lines(self.progress, now, width, height, signs))
            return self._frame[1]
        finally:
            self.lock.release()

    def on_abandoned(self, event: SweepAbandoned) -> None:
        """Shows the cursor, too."""
        os.write(self.console.file.fileno(), SHOW_CURSOR)
        super().on_abandoned(event)


class LineWatcher(Watcher):
    """Prints a line now and then: for pipes and log files."""

    def __init__(self, console: Console, every: float = LINE_EVERY) -> None:
        super().__init__(console)
        self._every = every
        self._ended = threading.Event()
        self._phase = ""
        self._thread = threading.Thread(target=self._print_now_and_then, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _print_now_and_then(self) -> None:
        while not self._ended.wait(self._every):
            self.print_line()

    def print_line(self) -> None:
        """Prints what is known."""
        with self.lock:
            text = self.text
            if self.progress is not None:
                text = frame.plain(self.progress, time.time(), signs_of(self.console))
        self.console.print(text, soft_wrap=True)

    def waiting(self, text: str) -> None:
        """Prints it at once."""
        super().waiting(text)
        if text:
            self.console.print(text, soft_wrap=True)

    def on_event(self, event: Event) -> None:
        """Prints a line where another phase begins."""
        super().on_event(event)
        phase = self.progress.phase.name if self.progress else ""
        if phase != self._phase and phase not in ("", "ended"):
            self._phase = phase
            self.print_line()

    def on_notice(self, event: Notice) -> None:
        """Prints it at once."""
        self.console.print(Text(event.text), soft_wrap=True)


@contextmanager
def watcher(*, json: bool, quiet: bool, outcomes: bool = True) -> Iterator[Watcher]:
    """The watcher that suits where the output goes.

    Args:
        outcomes: whether what came out is printed at the end of a run.

    Raises:
        Interrupted: by Ctrl-C, with the command that continues the run where there is one.
    """
    console = output(json, narrowest=0)  # what is drawn in place must not be folded
    watch: Watcher
    if quiet:
        watch = Watcher(Console(quiet=True))
    elif is_drawable(console):
        watch = LiveWatcher(console)
    else:
        watch = LineWatcher(console)
    watch.outcomes = outcomes
    try:
        with watch:
            yield watch
    except KeyboardInterrupt as error:
        if watch.folder is None or not watch.folder.has("run.json"):
            raise
        raise Interrupted(f"continue with: rltune resume {watch.folder.shown}") from error


def is_drawable(console: Console) -> bool:
    """Whether a table can be drawn in place."""
    return console.is_terminal and not console.is_dumb_terminal
