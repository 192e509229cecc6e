"""A clock that is set back by an hour while a sweep runs, in every Python process of it."""

from __future__ import annotations

import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
import short
from conftest import ROOT, environment, import_path
from run_checks import check_run

from rltune.runs.folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.by_hand, pytest.mark.fault(56)]

#: Is imported by each Python process as it starts: what it takes for the time is in a file.
CLOCK = """\
import os, time

real = time.time

def fake():
    with open(os.environ["OFFSET"]) as file:
        return real() + float(file.read() or 0)

time.time, time.time_ns = fake, lambda: int(fake() * 1e9)
"""
STEPS = 24_000


def reports(run: Path) -> int:
    """Rows of all trials."""
    return sum(file.read_bytes().count(b"\n") for file in run.glob("trials/*/progress.jsonl"))


def test_a_sweep_survives_a_clock_that_is_set_back(folder: Path, tmp_path: Path) -> None:
    """It is killed in the hour that comes twice, and continues in it."""
    run, offset, log = folder / "runs" / "a", tmp_path / "offset", tmp_path / "log"
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    around = {"OFFSET": str(offset), "PYTHONPATH": import_path(tmp_path, ROOT)}
    offset.write_text("0")

    def start(*words: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            return subprocess.Popen(
                words, cwd=folder, env={**environment(), **around}, stdout=file, stderr=file
            )

    def wait_for(more: int, process: subprocess.Popen[bytes]) -> None:
        wanted, deadline = reports(run) + more, time.monotonic() + 120
        while reports(run) < wanted:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    first = start(*short.command("a", "--steps", str(STEPS)))
    wait_for(8, first)
    offset.write_text("-3600")
    wait_for(12, first)
    first.kill()
    first.wait()
    second = start(*short.command("a")[:3], "resume", str(run))
    assert second.wait(240) == 0, log.read_text()
    opened = RunFolder.open(run)
    check_run(opened)
    for trial in opened.trials():
        rows = opened.reports(trial)
        assert all(a.wall_seconds <= b.wall_seconds for a, b in pairwise(rows))
        assert all(0 <= row.train_seconds <= row.wall_seconds + 1 for row in rows)
    times = [phase.time for phase in opened.phases()]
    assert times != sorted(times), "the clock was set back"
    assert opened.summary is not None
    assert 0 < opened.summary.wall_seconds < 600
