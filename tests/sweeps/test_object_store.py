"""Sweeps whose run folders lie in a real S3 store, on loopback."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import short
from conftest import CLUSTER, ROOT, Said, environment, import_path
from object_store import BUCKET, ObjectStore
from warm import Started, run_rltune

import rltune
from rltune.runs import checkpoints
from rltune.runs.folder import RunFolder

slow = pytest.mark.slow
IMPATIENT = ("--import", str(Path(__file__).parents[1] / "impatient.py"))
STEPS = 12_000


@pytest.fixture
def machine(
    bucket: str, object_store: ObjectStore, tmp_path: Path
) -> Callable[[str], Mapping[str, str]]:
    """Variables of a process on a machine of a name, which has working copies of its own."""
    return lambda name: {**object_store.variables, "RLTUNE_CACHE": str(tmp_path / name)}


def until(store: ObjectStore, process: Started, what: str, count: int) -> None:
    """Waits until the store holds so many objects whose names have something in them."""
    while sum(what in name for name in store.objects()) < count:
        assert process.is_running(), process.end()
        time.sleep(0.2)


def check_whole(url: str) -> RunFolder:
    """Checks that every trial of a run got to its end, every report once."""
    opened = RunFolder.open(url)
    for trial in opened.trials():
        steps = [row.env_steps for row in opened.reports(trial)]
        assert steps == sorted(set(steps))
        assert steps[-1] >= STEPS
        assert not opened.failures(trial)
    return opened


@slow
def test_a_sweep_in_a_store_is_read_on_another_machine(
    folder: Path,
    bucket: str,
    machine: Callable[[str], Mapping[str, str]],
    cluster_address: str,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = short.words("a", "--storage", bucket, "--json")
    done = run_rltune(folder, *words, variables=machine("here"), cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    assert f"run folder {bucket}/a" in done.stderr
    monkeypatch.setenv("RLTUNE_CACHE", machine("there")["RLTUNE_CACHE"])
    (row,) = json.loads(said(f"list runs --storage {bucket} --json")[1])["runs"]
    assert row["run"] == f"{bucket}/a"
    assert row["state"].startswith("ended")
    assert f"rltune play {bucket}/a" in said(f"watch {bucket}/a")[1]
    assert said(f"report {bucket}/a")[1] == f"{bucket}/a/report.html\n"
    assert f"stored in      {bucket}/a" in said(f"show {bucket}/a")[1]
    code, _, err = said(f"ppo cartpole --storage {bucket} --name a --dry-run")
    assert code == 2
    assert f"Go on with it: rltune resume {bucket}/a" in err
    preset = f"{bucket}/a/best/preset.toml"
    assert said(f"ppo cartpole --preset {preset} --storage {bucket} --dry-run")[0] == 0
    run = rltune.load(f"{bucket}/a")
    assert run.best["trial"] == json.loads(done.stdout)["best"]["trial"]
    assert run.evaluate(episodes=3).episodes == 3


@slow
@pytest.mark.parametrize("batch", [pytest.param("off", marks=pytest.mark.by_hand), "2"])
def test_a_killed_sweep_continues_on_another_machine(
    folder: Path,
    bucket: str,
    machine: Callable[[str], Mapping[str, str]],
    object_store: ObjectStore,
    cluster_address: str,
    batch: str,
) -> None:
    words = short.words("k", "--steps", str(STEPS), "--storage", bucket, "--batch", batch)
    here, there = machine("here"), machine("there")
    process = Started(folder, *words, *IMPATIENT, variables=here, cluster=cluster_address)
    until(object_store, process, f"{bucket.removeprefix(f's3://{BUCKET}/')}/k/trials/", 6)
    os.kill(process.pid, signal.SIGKILL)
    process.end()
    assert RunFolder.open(f"{bucket}/k").summary is None
    done = run_rltune(folder, "resume", f"{bucket}/k", "--quiet", variables=there)
    assert done.returncode == 0, done.stderr
    assert "held it last" in done.stderr
    check_whole(f"{bucket}/k")


@slow
@pytest.mark.by_hand
def test_an_interrupted_sweep_continues_on_another_machine_at_once(
    folder: Path,
    bucket: str,
    machine: Callable[[str], Mapping[str, str]],
    object_store: ObjectStore,
    cluster_address: str,
) -> None:
    words = short.words("i", "--steps", str(STEPS), "--storage", bucket)
    process = Started(folder, *words, variables=machine("here"), cluster=cluster_address)
    until(object_store, process, f"{bucket.removeprefix(f's3://{BUCKET}/')}/i/trials/", 6)
    process.send_signal(signal.SIGINT)
    ended = process.end()
    assert ended.returncode == 130, ended.stderr
    assert f"rltune resume {bucket}/i" in ended.stderr
    done = run_rltune(folder, "resume", f"{bucket}/i", "--quiet", variables=machine("there"))
    assert done.returncode == 0, done.stderr
    assert "held it last" not in done.stderr
    check_whole(f"{bucket}/i")


@slow
@pytest.mark.by_hand
def test_a_store_that_goes_away_ends_a_sweep_which_resumes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster_address: str
) -> None:
    store = ObjectStore()
    store.start()
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    here = {**store.variables, "RLTUNE_CACHE": str(tmp_path / "here")}
    url = f"s3://{BUCKET}/{tmp_path.name}"
    words = short.words("g", "--steps", "200000", "--storage", url, *IMPATIENT)
    process = Started(folder, *words, variables=here, cluster=cluster_address)
    until(store, process, f"{tmp_path.name}/g/trials/", 6)
    store.stop()
    ended = process.end(600)
    store.start()
    assert ended.returncode == 3, ended.stderr
    assert f"continue with: rltune resume {url}/g" in ended.stderr
    done = run_rltune(folder, "resume", f"{url}/g", "--quiet", variables=here)
    store.stop()
    assert done.returncode == 0, done.stderr


@contextmanager
def two_machines(hidden: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """A cluster of two nodes of a CPU each, of which the second has a folder of its own at a path.

    Yields its address.
    """
    hidden.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    around = {
        **environment(),
        **CLUSTER,
        **variables,
        "PYTHONPATH": import_path(ROOT, Path(__file__).parents[1]),
    }
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1"]
    head = [*ray, "--head", "--port", str(port), "--include-dashboard", "false"]
    words = shlex.join([*ray, "--address", f"127.0.0.1:{port}"])
    other = ["unshare", "-m", "sh", "-c", f"mount -t tmpfs tmpfs {hidden} && exec {words}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    nodes = [subprocess.Popen(head, env=around, **quiet)]
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.2)
        time.sleep(3)
        nodes.append(subprocess.Popen(other, env=around, **quiet))
        time.sleep(10)
        assert all(node.poll() is None for node in nodes)
        yield f"127.0.0.1:{port}"
    finally:
        for node in reversed(nodes):
            for process in psutil.Process(node.pid).children(recursive=True):
                process.kill()
            node.kill()
            node.wait()


@slow
@pytest.mark.by_hand
@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can hide a folder")
@pytest.mark.parametrize("batch", ["off", "2"])
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_machines_that_share_no_folder_exchange_checkpoints(
    folder: Path,
    bucket: str,
    machine: Callable[[str], Mapping[str, str]],
    object_store: ObjectStore,
    algo: str,
    batch: str,
) -> None:
    here = machine("here")
    words = [algo, "cartpole", "--name", "m", "--storage", bucket, "--batch", batch]
    words += ["--preset", "short.toml", "--steps", str(STEPS), "--trials", "4", *IMPATIENT]
    words += ["--save-buffer"] if algo == "dqn" else []
    with two_machines(Path(here["RLTUNE_CACHE"]), object_store.variables) as cluster:
        done = run_rltune(folder, *words, variables=here, cluster=cluster)
    assert done.returncode == 0, done.stderr
    run = check_whole(f"{bucket}/m")
    assert [decision for decision in run.decisions() if decision.kind == "exploit"]
    own = run.checkpoints_of("*")
    assert [path for path in own if not (path / "learner.pt").exists()]  # written elsewhere
    stored = [name for name in object_store.objects() if name.endswith("/learner.pt")]
    assert len([name for name in stored if "/m/trials/" in name]) == len(own)
    for path in own:
        checkpoints.verify(path)
