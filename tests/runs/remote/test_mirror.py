"""A run folder in a real S3 store: what is sent, what a crash leaves of it, and what is read."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from object_store import BUCKET, ObjectStore, forget_connections

from rltune.errors import BadCheckpoint, BadInput, MachineError
from rltune.request.resolve import make_spec
from rltune.runs import checkpoints, state_file
from rltune.runs.folder import RunFolder
from rltune.runs.records import CheckpointRecord, Report
from rltune.runs.remote import lease, mirror
from rltune.runs.remote import log as store_log
from rltune.runs.remote.copy import wrote
from rltune.runs.remote.store import Store, StoreFailed
from rltune.runs.state_file import StateFile


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is due, and little patience is shown."""
    monkeypatch.setattr(mirror, "INTERVAL", 0.0)
    monkeypatch.setattr(mirror, "WAITS", (0.01,))
    monkeypatch.setattr(lease, "REFRESH", 0.1)
    monkeypatch.setattr(lease, "STALE", 1.0)


def made(url: str) -> RunFolder:
    """A new run, held by this process."""
    return RunFolder.create(make_spec("dqn", "cartpole", storage=url, name="a"))


def report(folder: RunFolder, number: int, trial: str = "t00") -> None:
    """Adds a report."""
    row = Report(trial, number, 100 * number, 100, float(number), 9.5, {"lr": 1e-3})
    folder.append_report(row)


def save(folder: RunFolder, number: int, trial: str = "t00") -> Path:
    """Writes a checkpoint, whose files tell its number."""
    path = folder.path / f"trials/{trial}/checkpoints/checkpoint_{number:06d}"
    path.mkdir(parents=True)
    (path / checkpoints.POLICY_FILE).write_text(f"policy {number}" * 100)
    (path / checkpoints.REPLAY_FILE).write_text(f"replay {number}" * 100)
    record = CheckpointRecord(
        trial_id=trial,
        env_steps=100 * number,
        diverged=None,
        training_iteration=number,
        window=10,
        episode_returns=[9.5],
        episode_lengths=[9],
        episode_infos=[{}],
        settings={"lr": 1e-3},
    )
    record.write(path)
    checkpoints.seal(path, "dqn")
    return path


def sent(folder: RunFolder) -> None:
    """Waits until what is due has been sent."""
    folder.sync()
    assert folder.remote is not None
    folder.remote.wait()


@contextmanager
def machine(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another machine, with working copies of its own."""
    with monkeypatch.context() as changed:
        changed.setenv("RLTUNE_CACHE", str(path))
        changed.delenv("RLTUNE_LEASE", raising=False)
        yield


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is no process's own."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {
        name: (folder / name).read_bytes()
        for name in names
        if name == ".run.json.signature" or not any(p.startswith(".") for p in name.split("/"))
    }


def test_the_run_folder_is_the_same_on_another_machine(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, object_store: ObjectStore
) -> None:
    monkeypatch.setattr(lease, "STALE", 30.0)
    folder = made(bucket)
    for number in range(3):
        report(folder, number)
        checkpoint = save(folder, number)
        sent(folder)
    with machine(tmp_path / "there", monkeypatch):
        there = RunFolder.open(f"{bucket}/a")
        assert there.path != folder.path
        assert there.reports("t00") == folder.reports("t00")
        assert there.is_held
    with folder.releasing():
        folder.keep_best(checkpoint, "t00")
    key = f"{bucket.removeprefix(f's3://{BUCKET}/')}/a/"
    names = {name.removeprefix(key) for name in object_store.objects(key)}
    assert names == contents(folder.path).keys()  # nothing of the mirror's own is left
    with machine(tmp_path / "there", monkeypatch):
        there = RunFolder.open(f"{bucket}/a")
        assert not there.is_held
        assert there.shown == f"{bucket}/a"
        assert there.spec == folder.spec
        assert there.spec.storage == bucket
        for path in there.checkpoints_of("*"):
            assert not (path / checkpoints.POLICY_FILE).exists()
            checkpoints.verify(path, "dqn")
        checkpoints.verify(there.path / "best/checkpoint")
        assert contents(there.path) == contents(folder.path)


def test_what_is_rewritten_or_removed_is_so_on_another_machine(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(bucket)
    with machine(tmp_path / "there", monkeypatch):
        there = RunFolder.open(f"{bucket}/a")

    def check() -> None:
        sent(folder)
        with machine(tmp_path / "there", monkeypatch):
            there.fetch()
            assert contents(there.path) == contents(folder.path)

    for number in range(1, 6):
        report(folder, number)
        check()
    folder.discard_reports("t00", 200)
    check()
    report(folder, 3)
    check()
    (folder.path / "trials/t00/discarded.jsonl").unlink()
    folder.write_text("best/preset.toml", "a = 1")
    check()
    folder.sync(wait=True)  # all is whole, and the log is empty
    check()
    report(folder, 4)
    folder.write_text("best/preset.toml", "a = 2")
    check()
    with folder.releasing():
        pass


def test_checkpoints_that_are_removed_go_from_the_store_too(
    bucket: str, object_store: ObjectStore
) -> None:
    folder = made(bucket)
    first, second, third = (save(folder, number) for number in range(3))
    sent(folder)
    shutil.rmtree(first)
    checkpoints.strip(second, (checkpoints.POLICY_FILE,))
    sent(folder)
    key = bucket.removeprefix(f"s3://{BUCKET}/")
    left = [name for name in object_store.objects(key) if "checkpoint_" in name]
    assert [name.rpartition("checkpoint_")[2] for name in left] == [
        *(f"000001/{name}" for name in ("manifest.json", "policy.pt")),
        *(f"000002/{name}" for name in ("manifest.json", "policy.pt", "record.json", "replay.npz")),
    ]
    assert third.exists()
    with folder.releasing():
        pass


def test_a_checkpoint_is_sent_once_it_is_whole(bucket: str, object_store: ObjectStore) -> None:
    folder = made(bucket)
    path = save(folder, 1)
    policy = (path / checkpoints.POLICY_FILE).read_bytes()
    cut = policy[:-1]  # Tune may copy it after the manifest
    (path / checkpoints.POLICY_FILE).write_bytes(cut)
    key = bucket.removeprefix(f"s3://{BUCKET}/")
    sent(folder)
    assert not [name for name in object_store.objects(key) if "/checkpoints/" in name]
    (path / checkpoints.POLICY_FILE).write_bytes(policy)
    other = save(folder, 2)
    checkpoints.strip(other, (checkpoints.POLICY_FILE,))
    sent(folder)
    there = [name for name in object_store.objects(key) if name.endswith("policy.pt")]
    assert len(there) == 2
    with folder.releasing():
        pass


def test_on_a_cluster_trials_send_their_checkpoints_at_once(
    bucket: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "REFRESH", 1e9)  # its writes do not count
    folder = made(bucket)
    key = f"{bucket.removeprefix(f's3://{BUCKET}/')}/a/trials"
    wrote(save(folder, 1))
    assert not object_store.objects(key)  # the sweep's own thread will
    monkeypatch.setenv("RLTUNE_TRIALS_SEND", "1")
    path = save(folder, 2)
    wrote(path)
    there = object_store.objects(key)
    assert len(there) == 4
    assert folder.remote is not None
    folder.remote.written(path)
    before = object_store.requests["PUT"]
    sent(folder)
    assert object_store.requests["PUT"] - before == 4  # those of the first one alone
    shutil.rmtree(path)
    sent(folder)
    assert len(object_store.objects(key)) == 4
    with folder.releasing():
        pass


class Cut(Exception):
    """The machine is gone."""


def cut_store(calls: int) -> type[Store]:
    """A store that loses the machine after some calls that write."""
    left = [calls]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Store, *args: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Cut
            return call(self, *args)

        return wrapped

    names = ("write", "write_all", "upload", "delete")
    return type("Cut", (Store,), {name: counted(getattr(Store, name)) for name in names})


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.by_hand), 4])
def test_a_crash_at_any_request_leaves_a_run_that_can_be_resumed(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """After each cut, every checkpoint that the state speaks of is whole in the store."""
    ended = False
    calls = 1 - every
    monkeypatch.setattr(lease, "REFRESH", 1e9)  # its writes do not count
    monkeypatch.setattr(mirror, "ROOM", 700)  # the log is emptied in between
    while not ended:
        calls += every
        url = f"{bucket}/{calls}"
        folder = made(url)
        assert folder.remote is not None
        assert folder.remote._mirror is not None
        folder.remote._mirror._store = cut_store(calls)(f"{url}/a")
        state = StateFile(folder.path)
        try:
            for number in range(1, 7):
                report(folder, number)
                save(folder, number)
                state.write({"checkpoint": number, "reports": number})
                if number > 2:
                    shutil.rmtree(
                        folder.path / f"trials/t00/checkpoints/checkpoint_{number - 2:06d}"
                    )
                sent(folder)
            folder.sync(wait=True)
            ended = True
        except Cut:
            pass
        folder.remote._mirror._ended = True
        folder.lock.release()
        with machine(tmp_path / "there" / str(calls), monkeypatch):
            there = RunFolder.open(f"{url}/a")
            saved = state_file.read(there.path) or {"checkpoint": 0, "reports": 0}
            assert len(there.reports("t00")) >= saved["reports"]
            assert [row.training_iteration for row in there.reports("t00")] == list(
                range(1, len(there.reports("t00")) + 1)
            )
            if number := saved["checkpoint"]:
                path = there.path / f"trials/t00/checkpoints/checkpoint_{number:06d}"
                checkpoints.verify(path, "dqn")
    assert calls > 15
    assert saved["checkpoint"] == 6


def test_a_second_process_is_refused_while_the_first_lives(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(bucket)
    with machine(tmp_path / "there", monkeypatch):
        there = RunFolder.open(f"{bucket}/a")
        with pytest.raises(BadInput, match=f"{bucket}/a is in use by another rltune process"):
            there.acquire()
        with pytest.raises(BadInput, match="in use"):
            made(bucket)
    with folder.releasing():
        pass
    with machine(tmp_path / "there", monkeypatch), pytest.raises(BadInput, match="exists already"):
        made(bucket)
    with machine(tmp_path / "there", monkeypatch), there.held():
        assert there.is_held


def test_a_run_of_a_dead_process_is_taken_over_and_a_live_one_ends(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(bucket)
    report(folder, 1)
    sent(folder)
    assert folder.remote is not None
    assert folder.remote._lease is not None
    folder.remote._lease.stop()  # it stands still
    with machine(tmp_path / "there", monkeypatch):
        there = RunFolder.open(f"{bucket}/a")
        with there.held():
            report(there, 2)
    report(folder, 3)
    folder.remote._lease._checked = 0.0
    with pytest.raises(MachineError, match="taken over"), folder.releasing():
        sent(folder)
    with machine(tmp_path / "there", monkeypatch):
        there.fetch()
        assert [row.training_iteration for row in there.reports("t00")] == [1, 2]


def test_what_a_killed_process_had_not_sent_is_kept_by_its_machine(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(bucket)
    report(folder, 1)
    sent(folder)
    report(folder, 2)  # and is killed
    assert folder.remote is not None
    assert folder.remote._lease is not None
    folder.remote._lease.stop()
    folder.remote._mirror = folder.remote._lease = None
    folder.lock.release()
    again = RunFolder.open(f"{bucket}/a")
    assert len(again.reports("t00")) == 2
    started = time.monotonic()
    again.settle()
    assert time.monotonic() - started < lease.STALE  # nobody needs to be waited for
    with machine(tmp_path / "there", monkeypatch):
        assert len(RunFolder.open(f"{bucket}/a").reports("t00")) == 2


def test_a_store_that_fails_is_tried_again_and_then_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore()
    store.start()
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RLTUNE_CACHE", str(tmp_path / "here"))
    forget_connections()
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with suppress(Exception):
        store.make_bucket()
    url = f"s3://{BUCKET}/failing"
    folder = made(url)
    report(folder, 1)
    store.stop()
    later = threading.Timer(0.5, store.start)
    later.start()
    monkeypatch.setattr(mirror, "WAITS", (1.0, 1.0, 1.0))
    sent(folder)  # it came back
    later.join()
    store.stop()
    monkeypatch.setattr(mirror, "WAITS", (0.01,))
    report(folder, 2)
    with pytest.raises(StoreFailed):
        sent(folder)
    with pytest.raises(MachineError, match="storage of run s3://") as caught, folder.releasing():
        pass
    assert f"what was not sent, in {folder.path}" in str(caught.value)
    assert f"rltune resume {url}/a" in str(caught.value)
    store.start()
    again = RunFolder.open(f"{url}/a")
    with again.held():
        report(again, 3)
    with machine(tmp_path / "there", monkeypatch):
        assert len(RunFolder.open(f"{url}/a").reports("t00")) == 3
    store.stop()
    forget_connections()


def test_objects_of_strangers_stay_inside_the_working_copy(
    bucket: str, tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (folder := made(bucket)).releasing():
        report(folder, 1)
    key = f"{bucket.removeprefix(f's3://{BUCKET}/')}/a"
    names = ("../../out", "trials/../../../out", "x\\..\\out", ".lease", ".known.json", ".lock")
    pieces = [store_log.Piece(name, 0, 0, b"out") for name in (*names, "/etc/out", "../out")]
    client = object_store.client()
    for name in names:
        client.put_object(Bucket=BUCKET, Key=f"{key}/{name}", Body=b"out")
    client.put_object(
        Bucket=BUCKET, Key=f"{key}/{store_log.name_of(1)}", Body=store_log.packed(pieces)
    )
    client.put_object(
        Bucket=BUCKET,
        Key=f"{key}/trials/t00/checkpoints/checkpoint_000000/manifest.json",
        Body=b'{"schema": 2, "algo": "dqn", "files": {"../../../../../out": [3, 0]}}',
    )
    with machine(tmp_path / "there", monkeypatch):
        with suppress(BadInput):
            RunFolder.open(f"{bucket}/a")
        (tmp_path / "there/s3").mkdir(parents=True, exist_ok=True)
        path = RunFolder(f"{bucket}/a").path / "trials/t00/checkpoints/checkpoint_000000"
        with pytest.raises(BadCheckpoint):
            checkpoints.verify(path, "dqn")
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and b"out" in path.read_bytes()[:3]
    ]
    assert not Path("/etc/out").exists()


def test_the_cost_of_a_report_does_not_grow_with_their_number(
    bucket: str, object_store: ObjectStore
) -> None:
    def cost(url: str, reports: int) -> float:
        folder, before = made(url), object_store.sent
        for number in range(reports):
            report(folder, number)
            if number % 2:
                sent(folder)
        with folder.releasing():
            pass
        return (object_store.sent - before) / reports

    few, many = cost(f"{bucket}/few", 40), cost(f"{bucket}/many", 160)
    assert many < 1.5 * few


def test_a_trial_on_another_machine_sends_its_checkpoints_itself(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same paths on another machine: here, the folder is moved away meanwhile."""
    folder = made(bucket)
    here, away = tmp_path / "here", tmp_path / "away"
    first = save(folder, 1)
    sent(folder)
    here.rename(away)
    checkpoints.verify(first, "dqn")  # a donor's, from the store
    second = save(folder, 2)
    wrote(second)
    assert os.environ["RLTUNE_LEASE"]
    shutil.rmtree(here)
    away.rename(here)
    assert not second.exists()
    checkpoints.complete(second)
    assert (second / checkpoints.POLICY_FILE).read_text() == "policy 2" * 100
    assert not (second / checkpoints.REPLAY_FILE).exists()
    report(folder, 1)
    sent(folder)
    checkpoints.verify(second, "dqn")  # with its replay buffer, which no pass has removed
    shutil.rmtree(second)
    sent(folder)
    assert not folder.remote.store.items("trials/t00/checkpoints/checkpoint_000002")  # type: ignore[union-attr]
    with folder.releasing():
        pass
