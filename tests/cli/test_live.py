"""What draws a running sweep: in place, in lines, and without leaving anything behind."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from live.courses import ended, folder_of, row, spec_of
from rich.console import Console
from rich.text import Text

from rltune.callbacks.base import (
    Notice,
    SweepAbandoned,
    SweepStarted,
    TrialReported,
)
from rltune.cli.live import LineWatcher, LiveLines, LiveWatcher, signs_of
from rltune.live.run_reader import RunReader
from rltune.live.text import ASCII, UTF8


def test_texts_are_shown_as_they_are() -> None:
    for kind in (LineWatcher, LiveWatcher):
        console = terminal(width=80, height=24)
        kind(console).on_event(Notice("install rltune[ax], or [red]not[/red]"))
        assert isinstance(console.file, io.StringIO)
        assert "install rltune[ax], or [red]not[/red]" in console.file.getvalue()


@pytest.mark.fault(91)
def test_a_resumed_sweep_shows_what_was_before(tmp_path: Path) -> None:
    rows = [row("t00", 9_000, 9.0, 30.0), row("t01", 6_000, 9.0, 50.0)]
    folder = folder_of(spec_of(tmp_path, trials=2), rows)
    screen = io.StringIO()
    watch = LineWatcher(Console(file=screen, width=200))
    watch.on_event(SweepStarted(folder.spec, folder))
    watch.on_event(TrialReported(row("t00", 10_000, 21.0, 40.0)))
    watch.print_line()
    last = screen.getvalue().splitlines()[-1]
    assert "best 50.0 by t01" in last
    assert "elapsed" in last
    assert watch.progress is not None
    assert watch.progress.done == 16_000


def test_lines_come_while_nothing_is_reported(tmp_path: Path) -> None:
    screen = io.StringIO()
    with LineWatcher(Console(file=screen, width=200), every=0.02) as watch:
        watch.waiting("loading Ray and RLlib")
        while screen.getvalue().count("loading Ray and RLlib\n") < 3:
            pass
    printed = screen.getvalue()
    assert screen.getvalue() == printed


def test_signs_follow_the_encoding() -> None:
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    assert signs_of(Console(file=latin)) is ASCII
    assert signs_of(Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))) is UTF8


def terminal(**options: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}, **options)


def test_a_narrower_window_is_cleared_of_the_lines_it_continued() -> None:
    console = terminal(width=80, height=24)
    live = LiveLines(console, lambda width, height: two_lines(width), threaded=False)
    with live:
        live.refresh()
        file = console.file
        assert isinstance(file, io.StringIO)
        file.truncate(0)
        console.size = (40, 24)  # type: ignore[assignment]
        live.refresh()
        # Two lines of 79 characters take two rows each: three up from the last to the first.
        assert file.getvalue().count("\x1b[1A") == 3
        file.truncate(0)
        console.size = (20, 2)  # type: ignore[assignment]
        live.refresh()
        assert file.getvalue().count("\x1b[1A") == 3, "two of four rows have left the window"
        file.truncate(0)
        console.size = (20, 9)  # type: ignore[assignment]
        live.refresh()
        assert file.getvalue().count("\x1b[1A") == 3, "and are in it again"


def two_lines(width: int) -> list[Text]:
    return [Text("x" * (width - 1)) for _ in range(2)]


@pytest.mark.fault(92)
def test_an_abandoned_sweep_leaves_a_terminal_as_it_was(tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w") as screen:
        watch = LiveWatcher(Console(file=screen, force_terminal=True, width=80))
        errors = os.dup(2)
        with (tmp_path / "errors").open("w") as file:
            os.dup2(file.fileno(), 2)
            try:
                watch.on_event(SweepAbandoned("continue with: rltune resume runs/run"))
            finally:
                os.dup2(errors, 2)
                os.close(errors)
    assert (tmp_path / "screen").read_bytes().endswith(b"\x1b[?25h")
    said = (tmp_path / "errors").read_text()
    assert said == "\ninterrupted: continue with: rltune resume runs/run\n"


@pytest.mark.parametrize("kept", [True, False])
def test_the_table_stays_where_a_sweep_ends_without_a_result(tmp_path: Path, kept: bool) -> None:
    folder = folder_of(spec_of(tmp_path), [row("t00", 1_000, 6.0, 20.0)])
    console = terminal(width=80, height=24)
    with LiveWatcher(console) as watch:
        watch.on_event(SweepStarted(folder.spec, folder))
        assert watch.progress is not None
        watch.progress = RunReader(folder).read()
        watch.progress.summary = ended(best=not kept)
    file = console.file
    assert isinstance(file, io.StringIO)
    last = file.getvalue().rpartition("t00")[2]
    assert ("\x1b[1A" not in last) == kept
    assert "\x1b[?25h" in last
