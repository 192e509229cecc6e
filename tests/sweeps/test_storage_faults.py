"""Storage that fails under a sweep: full, or removed. Real Ray, a real small disk."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import short
from warm import Started, run_rltune

from rltune.errors import BadInput, MachineError
from rltune.runs import storage_faults
from rltune.runs.folder import RunFolder
from rltune.runs.record_files import TABLE, RecordFiles
from rltune.runs.storage_faults import fault_in, guarded, patiently

slow = pytest.mark.slow
#: Steps of a trial: long enough for something to happen in the middle.
STEPS = 12_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root can mount a disk")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def started(folder: Path, disk: Path, cluster: str, *words: str) -> Started:
    """A sweep on the disk, in which both trials have reported."""
    asked = short.words("a", "--steps", str(STEPS), "--storage", str(disk / "runs"), *words)
    process = Started(folder, *asked, cluster=cluster)
    while len(list(disk.glob("runs/a/trials/*/checkpoints/*/manifest.json"))) < 2:
        assert process.is_running(), process.end()
        time.sleep(0.1)
    return process


def fill(disk: Path) -> Path:
    """Leaves no room on it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))
    assert shutil.disk_usage(disk).free == 0
    return ballast


def check_goes_on(run: Path, folder: Path) -> None:
    """Resumes a run, which gets to its end as if nothing had been."""
    done = run_rltune(folder, "resume", str(run), "--quiet")
    assert done.returncode == 0, done.stderr
    opened = RunFolder.open(run)
    for trial in opened.trials():
        steps = [row.env_steps for row in opened.reports(trial)]
        assert steps == sorted(set(steps))
        assert steps[-1] >= STEPS
        assert not opened.failures(trial)


@slow
@pytest.mark.fault(48)
@pytest.mark.parametrize("batch", [pytest.param("off", marks=pytest.mark.by_hand), "2"])
def test_a_full_disk_ends_the_sweep_and_resume_goes_on(
    folder: Path, disk: Path, cluster_address: str, batch: str
) -> None:
    process = started(folder, disk, cluster_address, "--batch", batch)
    ballast = fill(disk)
    done = process.end(120)
    assert done.returncode == 3, done.stderr
    assert "No space left on device" in done.stderr
    assert "continue with: rltune resume" in done.stderr
    assert "Traceback" not in done.stderr
    ballast.unlink()
    check_goes_on(disk / "runs/a", folder)


@slow
@pytest.mark.fault(51)
def test_a_folder_that_is_removed_is_not_made_again(
    folder: Path, disk: Path, cluster_address: str
) -> None:
    process = started(folder, disk, cluster_address, "--batch", "off")
    (disk / "runs").rename(disk / "elsewhere")
    done = process.end(120)
    assert done.returncode == 3, done.stderr
    assert f"run {disk}/runs/a is gone" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(disk.glob("runs/a/*.json*"))
    shutil.rmtree(disk / "runs", ignore_errors=True)
    check_goes_on(disk / "elsewhere/a", folder)


@pytest.mark.fault(52)
def test_faults_that_pass_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(storage_faults.time, "sleep", waits.append)
    faults = [OSError(errno.ESTALE, "stale"), OSError(errno.EIO, "input/output"), None]

    def write() -> str:
        if fault := faults.pop(0):
            raise fault
        return "written"

    assert patiently(write) == "written"
    assert waits == list(storage_faults.WAITS[:2])
    faults[:] = [OSError(errno.EIO, "input/output")] * 9
    with pytest.raises(OSError, match="input/output"):
        patiently(write)
    faults[:] = [OSError(errno.ENOSPC, "full")]
    with pytest.raises(OSError, match="full"):
        patiently(write)
    assert faults == []


@pytest.mark.fault(52)
def test_a_line_is_written_once_although_its_first_try_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale handle after half a line: the half is left out when the file is read."""
    files = RecordFiles(tmp_path)
    files.append("lines.jsonl", {"n": 1})
    append, tries = RecordFiles._append, []

    def cut(self: RecordFiles, path: Path, values: dict[str, int]) -> None:
        tries.append(values)
        if len(tries) == 1:
            with path.open("ab") as file:
                file.write(b'{"n": ')
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        append(self, path, values)

    monkeypatch.setattr(RecordFiles, "_append", cut)
    files.append("lines.jsonl", {"n": 2})
    assert [line["n"] for line in files.lines("lines.jsonl", TABLE)] == [1, 2]


def test_only_faults_of_the_run_s_storage_are_the_machine_s(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    for error in (
        OSError(errno.ENOSPC, "full", "/elsewhere"),
        FileNotFoundError(errno.ENOENT, "gone", str(tmp_path / "trials")),
    ):
        told = r"failed: (full|gone).*then say so"
        with pytest.raises(MachineError, match=told), guarded(tmp_path, "say so"):
            raise error
    for elsewhere in ("/elsewhere", f"{tmp_path}-of-another", None):
        with pytest.raises(FileNotFoundError), guarded(tmp_path, "say so"):
            raise FileNotFoundError(errno.ENOENT, "gone", elsewhere)
    with pytest.raises(MachineError, match="is gone"), guarded(tmp_path / "run", "say so"):
        raise FileNotFoundError(errno.ENOENT, "gone", str(tmp_path / "run"))


@pytest.mark.fault(51)
def test_a_record_that_cannot_be_read_tells_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = RecordFiles(tmp_path / "run")
    with pytest.raises(MachineError, match="is gone"), guarded(files.path, "say so"):
        files.contents("trials/record.json", TABLE)
    files.path.mkdir()
    files.write("run.json", {})
    told = r"record\.json cannot be read"
    with pytest.raises(BadInput, match=told), guarded(files.path, "say so"):
        files.contents("record.json", TABLE)

    def stale(*_: Any, **__: Any) -> str:
        raise OSError(errno.ESTALE, "stale")

    monkeypatch.setattr(Path, "read_text", stale)
    told = r"failed: stale.*then say so"
    with pytest.raises(MachineError, match=told), guarded(files.path, "say so"):
        files.contents("run.json", TABLE)


def test_an_environment_that_fills_its_own_disk_fails_by_itself() -> None:
    own = '  File "env.py", line 3, in step\nOSError: [Errno 28] No space left on device'
    assert fault_in(own) is None
    writes = '  File "storage.py", line 568, in persist_current_checkpoint\n' + own
    assert fault_in(writes) == "No space left on device"
    assert fault_in(writes + "\nValueError: [Errno 28] is no more") is not None
    assert fault_in(writes + "\nValueError: else") is None
    assert fault_in("") is None
