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
from rltune.errors import BadInput
from rltune.runs import checkpoints, state_file
from rltune.runs.folder import RunFolder
from rltune.runs.remote.store import Store

slow = pytest.mark.slow
IMPATIENT = ("--import", str(Path(__file__).parents[1] / "impatient.py"))
STEPS = 60_000


@pytest.fixture
def machine(
    bucket: str, object_store: ObjectStore, tmp_path: Path
) -> Callable[[str], Mapping[str, str]]:
    """Variables of a process on a machine of a name, which has working copies of its own."""
    return lambda name: {**object_store.variables, "RLTUNE_CACHE": str(tmp_path / name)}


def until_saved(url: str, process: Started) -> None:
    """Waits until the store holds a state with a checkpoint."""
    while True:
        with suppress(BadInput):
            saved = state_file.read(RunFolder.open(url).path) or {}
            if any(trial["checkpoint"] for trial in saved.get("trials", ())):
                return
        assert process.is_running(), process.end()
        time.sleep(0.2)


def check_whole(url: str) -> RunFolder:
    """Checks that every trial of a run got to its end, every report once."""
    opened = RunFolder.open(url)
    for trial in opened.trials():
        steps = [row.env_steps for row in opened.reports(trial)]
        assert steps == sorted(set(steps))
        assert steps[-1] >= STEPS
        assert not opened.failures(trial), opened.failures(trial)[0].traceback
    return opened


def test_commands_take_the_url_of_a_run(bucket: str, said: Said) -> None:
    finished = ROOT / "tests/data/runs_0_1/finished"
    paths = [path for path in finished.rglob("*") if path.is_file()]
    url = f"{bucket}/a"
    Store(url).upload({path.relative_to(finished).as_posix(): path for path in paths})
    Store(url).write("best/preset.toml", b"[settings]\nlr = 1e-3\n")
    (row,) = json.loads(said(f"list runs --storage {bucket} --json")[1])["runs"]
    assert row["run"] == url
    assert row["state"].startswith("ended")
    assert f"rltune play {url}" in said(f"watch {url}")[1]
    assert f"stored in      {url}" in said(f"show {url}")[1]
    assert said(f"resume {url}")[1].startswith(f"{url} is finished")
    assert said(f"report {url}")[1] == f"{url}/report.html\n"
    assert Store(url).read("report.html").startswith(b"<!")
    code, _, err = said(f"ppo cartpole --storage {bucket} --name a --dry-run")
    assert code == 2
    assert f"Go on with it: rltune resume {url}" in err
    preset = f"--preset {url}/best/preset.toml"
    assert said(f"dqn cartpole {preset} --storage {bucket} --dry-run")[0] == 0
    assert rltune.load(url).evaluate(episodes=2).episodes == 2
    assert said(f"show {bucket}/b")[0] == 2


@slow
def test_a_sweep_is_kept_in_a_store(
    folder: Path, bucket: str, machine: Callable[[str], Mapping[str, str]]
) -> None:
    words = short.words("s", "--storage", bucket, "--quiet")
    done = run_rltune(folder, *words, variables=machine("first"))
    assert done.returncode == 0, done.stderr
    run = RunFolder.open(f"{bucket}/s")  # on this machine, which has none of it
    assert run.summary is not None
    assert run.steps_spent == run.summary.env_steps > 0
    assert run.decisions()


@slow
@pytest.mark.by_hand
@pytest.mark.parametrize("batch", ["off", "2"])
def test_a_killed_sweep_continues_on_another_machine(
    folder: Path,
    bucket: str,
    machine: Callable[[str], Mapping[str, str]],
    batch: str,
) -> None:
    words = short.words("k", "--steps", str(STEPS), "--storage", bucket, "--batch", batch)
    here, there = machine("first"), machine("second")
    process = Started(folder, *words, *IMPATIENT, variables=here)
    until_saved(f"{bucket}/k", process)
    os.kill(process.pid, signal.SIGKILL)
    process.end()
    before = RunFolder.open(f"{bucket}/k")
    assert before.summary is None
    reports = {trial: len(before.reports(trial)) for trial in before.trials()}
    done = run_rltune(folder, "resume", f"{bucket}/k", "--quiet", variables=there)
    assert done.returncode == 0, done.stderr
    assert "held it last" in done.stderr
    run = check_whole(f"{bucket}/k")
    again = sum(len(run.discarded(trial)) for trial in run.trials())
    assert again < sum(reports.values())  # it did not start from the beginning


@slow
@pytest.mark.by_hand
def test_an_interrupted_sweep_continues_on_another_machine_at_once(
    folder: Path,
    bucket: str,
    machine: Callable[[str], Mapping[str, str]],
) -> None:
    words = short.words("i", "--steps", str(STEPS), "--storage", bucket)
    process = Started(folder, *words, variables=machine("first"))
    until_saved(f"{bucket}/i", process)
    process.send_signal(signal.SIGINT)
    ended = process.end()
    assert ended.returncode == 130, ended.stderr
    assert f"rltune resume {bucket}/i" in ended.stderr
    done = run_rltune(folder, "resume", f"{bucket}/i", "--quiet", variables=machine("second"))
    assert done.returncode == 0, done.stderr
    assert "held it last" not in done.stderr
    check_whole(f"{bucket}/i")


@slow
@pytest.mark.by_hand
def test_a_store_that_goes_away_ends_a_sweep_which_resumes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore()
    store.start()
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    here = {**store.variables, "RLTUNE_CACHE": str(tmp_path / "first")}
    url = f"s3://{BUCKET}/{tmp_path.name}"
    words = short.words("g", "--steps", "200000", "--storage", url, *IMPATIENT)
    process = Started(folder, *words, variables=here)
    until_saved(f"{url}/g", process)
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
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # else a loopback cluster has one node
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
        time.sleep(10)
        nodes.append(subprocess.Popen(other, env=around, **quiet))
        time.sleep(15)
        assert all(node.poll() is None for node in nodes)
        yield f"127.0.0.1:{port}"
    finally:
        for node in reversed(nodes):
            with suppress(psutil.NoSuchProcess):
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
    here = machine("first")
    words = [algo, "cartpole", "--name", "m", "--storage", bucket, "--batch", batch]
    words += ["--preset", "short.toml", "--steps", str(STEPS), "--trials", "4", *IMPATIENT]
    words += ["--save-buffer"] if algo == "dqn" else []
    with two_machines(Path(here["RLTUNE_CACHE"]), object_store.variables) as cluster:
        done = run_rltune(folder, *words, variables=here, cluster=cluster)
    assert done.returncode == 0, done.stderr
    run = check_whole(f"{bucket}/m")
    assert [decision for decision in run.decisions() if decision.kind == "exploit"]
    own = list(Path(here["RLTUNE_CACHE"]).glob("s3/*/*/m/trials/*/checkpoints/*"))
    assert [path for path in own if not (path / "learner.pt").exists()]  # written elsewhere
    stored = [name for name in object_store.objects() if name.endswith("/learner.pt")]
    assert len([name for name in stored if "/m/trials/" in name]) == len(own)
    for path in run.checkpoints_of("*"):
        checkpoints.verify(path)
