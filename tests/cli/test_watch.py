"""``rltune watch`` on runs that train, have ended, were killed, and on none."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli
from live.courses import ended, folder_of, row, spec_of

from rltune.cli.watch import follow
from rltune.live.run_reader import RunReader
from rltune.runs.folder import RunFolder

ROWS = [row("t00", 9_000, 9.0, 30.0), row("t01", 6_000, 9.0, 50.0)]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return folder_of(spec_of(tmp_path / "runs", trials=2), ROWS)


def test_what_is_no_run_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    done = cli("watch", str(tmp_path))
    assert done.returncode == 2
    assert "is no run folder" in done.stderr


@pytest.mark.parametrize("best", [True, False])
def test_a_finished_run_shows_its_end(cli: Cli, folder: RunFolder, best: bool) -> None:
    folder.write_summary(ended(best))
    folder.lock.release()
    done = cli("watch", "runs/run")
    assert done.returncode == 0, done.stderr
    assert ("48.0 mean return" if best else "ended without a result") in done.stdout


def test_a_killed_run_says_how_to_continue(cli: Cli, folder: RunFolder) -> None:
    before = sorted(path.name for path in folder.path.rglob("*"))
    folder.lock.release()
    done = cli("watch", "runs/run")
    assert done.returncode == 130
    assert "best 50.0 by t01" in done.stdout
    assert "no process works on runs/run" in done.stderr
    assert "rltune resume runs/run" in done.stderr
    assert sorted(path.name for path in folder.path.rglob("*")) == before, "it is only read"


def test_a_run_is_followed_to_its_end(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rltune.cli.watch.LOOK_EVERY", 0.0)
    reader, seen = RunReader(folder), []

    def show() -> None:
        seen.append(reader.progress.done)
        folder.append_report(row("t01", 6_000 + 1_000 * len(seen), 10.0, 60.0))
        if len(seen) == 3:
            folder.write_summary(ended(best=True))

    follow(reader, show)
    assert seen == [15_000, 16_000, 17_000]
    assert reader.progress.summary is not None


def test_a_watcher_does_not_keep_a_run_from_its_folder(folder: RunFolder) -> None:
    folder.lock.release()
    other = RunFolder.open(folder.path)
    for _ in range(50):
        assert other.is_held is False
        with folder.held():
            assert other.is_held
