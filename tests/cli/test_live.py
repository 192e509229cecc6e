"""The live table: what it shows, that it fits any window, and that it leaves a clean terminal."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from live.courses import SECONDS, ended, folder_of, row, spec_of
from rich.console import Console
from rich.text import Text

from rltune.callbacks.base import (
    EvaluationProgressed,
    Notice,
    StatusChanged,
    SweepAbandoned,
    SweepStarted,
    TrialReported,
)
from rltune.cli import live_frame
from rltune.cli.live import LineWatcher, LiveLines, LiveWatcher, signs_of
from rltune.cli.live_text import ASCII, UTF8, Signs
from rltune.live.progress import Progress
from rltune.live.run_reader import RunReader
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision

NOW = SECONDS + 65.0


def population(members: int = 4) -> Progress:
    """Members at their third report; every second one has just copied the first."""
    progress = Progress(spec_of(Path("runs"), trials=members))
    for number in range(members):
        for steps in (1_000, 2_000, 3_000):
            score = 10.0 * number + steps / 100
            progress.reported(row(f"t{number:02d}", steps, steps / 1_000 + 5, score))
        progress.changed_status(f"t{number:02d}", "RUNNING" if number % 3 else "PAUSED")
    for number in range(1, members, 2):
        effective = {"lr": 0.0012345, "gamma": 0.97, "clip_param": 0.2}
        progress.decided(
            Decision(
                kind="exploit",
                env_steps=2_000,
                trial=f"t{number:02d}",
                donor="t00",
                effective=effective,
            )
        )
    progress.hear(StatusChanged("t00", "PAUSED"))
    progress.hear(SweepStarted(progress.spec, RunFolder(Path("runs/run"))))
    progress.hear(StatusChanged("t01", "RUNNING"))
    return progress


def shown(progress: Progress, width: int, height: int, signs: Signs = UTF8) -> str:
    lines = live_frame.lines(progress, NOW, width, height, signs)
    assert len(lines) <= height
    assert all(line.cell_len < width for line in lines)
    return "\n".join(line.plain for line in lines)


def test_a_row_has_all_that_80_columns_hold() -> None:
    text = shown(population(), 80, 24)
    assert "★ best 60.0 by t03 · at step 3,000 · lr 0.001 · gamma 0.98" in text
    assert re.search(
        r"^★ t03 +waiting +\S*█ +3,000 +60\.0 ▲  <- t00 lr 0\.001→0\.00123", text, re.M
    )
    assert re.search(r"^  t00 .* 30\.0 ▼", text, re.M)
    assert "training: 12,000 of at most 40,000 steps" in text
    assert "30 %" in text


def test_a_wide_window_has_the_settings_that_differ_first() -> None:
    progress = population()
    progress.reported(row("t02", 4_000, 9.0, 60.0, settings={"clip_param": 0.3}))
    text = shown(progress, 160, 40)
    assert re.search(r"clip_param +lr +gamma", text)
    assert "not shown" not in text or "1 setting not shown" in text


@pytest.mark.parametrize("members", [1, 4, 40])
@pytest.mark.parametrize("signs", [UTF8, ASCII], ids=["utf-8", "ascii"])
def test_it_fits_every_window(members: int, signs: Signs) -> None:
    progress = population(members)
    for width in (*range(1, 60), 80, 120, 300):
        for height in (1, 2, 3, 5, 8, 10, 24, 60):
            text = shown(progress, width, height, signs)
            if signs is ASCII:
                assert text.isascii()


def test_no_number_is_cut() -> None:
    """One that is would be read as another."""
    progress = population()
    whole = set(re.findall(r"[\d.,]*\d", shown(progress, 200, 40)))
    for width in range(30, 120):
        numbers = set(re.findall(r"[\d.,]*\d", shown(progress, width, 40)))
        # What a narrow window says of time and progress alone.
        assert {n for n in numbers - whole if "," in n or "." in n} == set()


def test_with_more_members_than_rows_the_best_the_worst_and_the_changed_stay() -> None:
    progress = population(40)
    for number in range(1, 40, 2):
        progress.members[f"t{number:02d}"].touched = 0
    progress.changed_status("t00", "RUNNING")
    progress.members["t07"].touched = progress.version + 1
    text = shown(progress, 80, 12)
    for trial in ("t39", "t07", "t00"):
        assert re.search(rf"^. {trial} ", text, re.M), text
    assert re.search(r"and 3\d more trials", text)


def test_texts_are_shown_as_they_are() -> None:
    for kind in (LineWatcher, LiveWatcher):
        console = terminal(width=80, height=24)
        kind(console).on_event(Notice("install rltune[ax], or [red]not[/red]"))
        assert isinstance(console.file, io.StringIO)
        assert "install rltune[ax], or [red]not[/red]" in console.file.getvalue()


def test_what_is_chosen_and_scored_is_counted() -> None:
    progress = population()
    progress.hear(EvaluationProgressed("choosing", 40, 100))
    assert "choosing the best of 5 policies: 40 of 100 episodes" in shown(progress, 80, 24)
    progress.hear(EvaluationProgressed("scoring", 20, 100))
    assert "scoring it on fresh seeds: 20 of 100 episodes" in live_frame.plain(progress, NOW)


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
