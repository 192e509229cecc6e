"""What ends before its first trial leaves nothing behind (FAULTS 81)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import short
import warm
from conftest import environment

from rltune.callbacks.base import Callback, SweepStarted
from rltune.errors import BadInput, MachineError
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.sweeps import ray_session, runner, surroundings


class Ends(Callback):
    """Of a user, who has enough."""

    def on_start(self, event: SweepStarted) -> None:
        raise SystemExit


@pytest.mark.fault(81)
def test_a_sweep_that_never_started_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ray_session: None
) -> None:
    (tmp_path / "kept").mkdir()
    before = dict(os.environ)
    for storage in ("new", "kept"):
        spec = make_spec("ppo", "cartpole", storage=tmp_path / storage, name="a")
        with pytest.raises(SystemExit):
            runner.run(spec, [Ends()])

        def init(**_: Any) -> None:
            raise RuntimeError("the raylet died")

        monkeypatch.setattr(ray_session.ray, "init", init)
        with pytest.raises(MachineError, match="Ray did not start: the raylet died"):
            runner.run(spec)
        monkeypatch.setattr(ray_session, "check_fits", lambda _: 1 / 0)
        monkeypatch.setattr(ray_session.ray, "init", lambda **_: None)
        with pytest.raises(ZeroDivisionError):
            runner.run(spec)
        monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"], "and no storage made for it"
    assert list((tmp_path / "kept").iterdir()) == []
    assert dict(os.environ) == before


@pytest.mark.fault(81)
def test_a_folder_with_a_trial_in_it_stays(tmp_path: Path) -> None:
    spec = make_spec("ppo", "cartpole", storage=tmp_path, name="a")
    folder = RunFolder.create(spec)
    (folder.path / "trials/t00").mkdir(parents=True)
    folder.discard_unstarted()
    assert folder.has("run.json")
    (folder.path / "trials/t00").rmdir()
    RunFolder.open(folder.path).discard_unstarted()
    assert folder.has("run.json"), "one that was found is not this process's to remove"
    folder.discard_unstarted()
    folder.lock.release()
    assert not folder.path.exists()


@pytest.mark.fault(81)
def test_a_second_sweep_is_refused_before_anything_starts(tmp_path: Path) -> None:
    spec = make_spec("ppo", "cartpole", storage=tmp_path, name="a")

    class Nested(Callback):
        def on_start(self, event: SweepStarted) -> None:
            with pytest.raises(BadInput, match="runs a sweep already"):
                runner.run(make_spec("ppo", "cartpole", storage=tmp_path, name="b"))
            raise SystemExit

    with pytest.raises(SystemExit):
        runner.run(spec, [Nested()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(81)
def test_a_short_folder_is_chosen_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert surroundings.temporary_folder() == "/tmp/ray"
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 150)))
    assert surroundings.temporary_folder() == "/tmp/ray"
    blocked = tmp_path / "b"
    blocked.write_text("a file in the way")
    monkeypatch.setenv("TMPDIR", str(blocked))
    assert surroundings.temporary_folder() == "/tmp/ray"
    monkeypatch.setattr(surroundings, "SOCKET_PATH", 3)
    with pytest.raises(MachineError, match=r"/tmp is too long a path.*RAY_TMPDIR to a short path"):
        surroundings.temporary_folder()


def beside_full(words: list[str], folder: Path, *mounts: str) -> CompletedProcess[str]:
    """Runs a command whose temporary folder is a small disk, and others are: ``/tmp size=64k``."""
    disks = [
        f"mkdir -p {where} && mount -t tmpfs -o {how} tmpfs {where}"
        for where, how in map(str.split, (f"{folder / 'full'} size=64k", *mounts))
    ]
    private = ["unshare", "--mount", "sh", "-c", " && ".join([*disks, 'exec "$@"']), "sh"]
    try:
        subprocess.run([*private, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root can mount a disk")
    full = str(folder / "full")
    around = {**environment(), "TMPDIR": full, "RAY_TMPDIR": full}
    return subprocess.run(
        [*private, *words], cwd=folder, env=around, capture_output=True, text=True, check=False
    )


CHOOSES = """\
import os
from rltune.sweeps import surroundings
print(surroundings.temporary_folder())
for place in ("/var/tmp", "/dev/shm"):
    os.system(f"mount -t tmpfs -o size=64m,nr_inodes=99 tmpfs {place}")
surroundings.temporary_folder()
"""


@pytest.mark.fault(57)
def test_a_full_folder_is_passed_by(tmp_path: Path) -> None:
    full = ("/tmp/ray size=1m", f"/tmp/ray-{os.getuid()} size=1m")
    done = beside_full([sys.executable, "-c", CHOOSES], tmp_path, *full)
    assert done.stdout == "/var/tmp/ray\n"
    assert "/tmp is full (1.0 MiB are free, 16 are needed)" in done.stderr
    assert "/var/tmp is full (97 more files fit, 256 are needed)" in done.stderr
    assert "set RAY_TMPDIR to a short path" in done.stderr


@pytest.mark.by_hand
@pytest.mark.fault(57)
def test_a_sweep_runs_beside_a_full_tmp(folder: Path) -> None:
    done = beside_full([sys.executable, "-m", "rltune", *short.words("a")], folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.fault(81)
@pytest.mark.slow
@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGINT, signal.SIGINT)])
def test_a_signal_while_ray_starts_ends_the_sweep(
    tmp_path: Path, signals: tuple[signal.Signals]
) -> None:
    process = warm.Started(tmp_path, "ppo", "cartpole", "--name", "a")
    deadline = time.monotonic() + 60
    while not (tmp_path / "runs/a/run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    for number in signals:
        with suppress(ProcessLookupError):  # it may have left at the first
            process.send_signal(number)
        time.sleep(0.05)
    done = process.end(60)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert "ontinue with" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
