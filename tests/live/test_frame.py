"""A running sweep as text: what it shows, and that it fits any window."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from live.courses import SECONDS, row, spec_of

from rltune.callbacks.base import (
    EvaluationProgressed,
    StatusChanged,
    SweepStarted,
)
from rltune.live import frame
from rltune.live.progress import Progress
from rltune.live.text import ASCII, UTF8, Signs
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
    lines = frame.lines(progress, NOW, width, height, signs)
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


def test_what_is_chosen_and_scored_is_counted() -> None:
    progress = population()
    progress.hear(EvaluationProgressed("choosing", 40, 100))
    assert "choosing the best of 5 policies: 40 of 100 episodes" in shown(progress, 80, 24)
    progress.hear(EvaluationProgressed("scoring", 20, 100))
    assert "scoring it on fresh seeds: 20 of 100 episodes" in frame.plain(progress, NOW)


@pytest.mark.parametrize(
    ("batch", "said"),
    [("off", "ppo · cartpole · pb2 · 0:"), (2, "pb2 · batches of 2 · 0:"), (1, "batches of 1 ·")],
)
def test_what_trains_as_a_batch_is_said(batch: int | str, said: str) -> None:
    progress = Progress(spec_of(Path("runs"), batch=batch))
    assert said in shown(progress, 120, 24)
    assert said in frame.plain(progress, NOW)
