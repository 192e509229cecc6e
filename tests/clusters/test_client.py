"""Sweeps that run on the head of a cluster which Ray Client reaches."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import create_connection

import psutil
import pytest
from conftest import CLUSTER, Said, environment, import_path, run_rltune
from test_submit import OWN, SHORT, free_port


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    client, port = free_port(), free_port()
    words = f"start --head --block --num-cpus 2 --include-dashboard false --port {port} "
    words += f"--ray-client-server-port {client} --disable-usage-stats"
    started = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *words.split()],
        env={**environment(), **CLUSTER},
        cwd=tmp_path_factory.mktemp("head"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), create_connection(("127.0.0.1", client), 1):
            break
        time.sleep(0.2)
    yield f"ray://127.0.0.1:{client}"
    below = psutil.Process(started.pid).children(recursive=True)
    started.terminate()
    for process in psutil.wait_procs(below, timeout=10)[1]:
        process.kill()
    started.wait()


def _words(folder: Path, address: str, name: str, *more: str) -> tuple[str, ...]:
    (folder / "own.py").write_text(OWN)
    (folder / "helper.py").write_text("def reward(action):\n    return float(action)\n")
    place = ("--storage", str(folder / "the runs"), "--name", name, "--address", address)
    return ("ppo", "own.py:Env", *SHORT, *place, *more)


@pytest.mark.by_hand
def test_a_sweep_runs_on_the_head(address: str, tmp_path: Path) -> None:
    words = _words(tmp_path, address, "a", "--json")
    done = run_rltune(tmp_path, *words, variables=CLUSTER)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 2
    request = (tmp_path / "the runs/a/run.json").read_text()
    assert str(tmp_path / "the runs/.shipped/a/own.py") in request
    again = run_rltune(tmp_path, *words, variables=CLUSTER)
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists already" in again.stderr


@pytest.mark.by_hand
def test_ctrl_c_is_passed_on(address: str, tmp_path: Path) -> None:
    words = _words(tmp_path, address, "b", "--steps", "4M")
    shown = subprocess.Popen(
        [sys.executable, "-m", "rltune", *words],
        cwd=tmp_path,
        env={**environment(), **CLUSTER, "PYTHONPATH": import_path(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shown.stdout is not None
    for line in shown.stdout:
        if "training: " in line:
            shown.send_signal(signal.SIGINT)
        if found := re.search("rltune resume (.*)", line):
            run = found[1]
    assert shown.wait(60) == 130
    assert run.strip("'") == str(tmp_path / "the runs/b")
    assert not (tmp_path / "the runs/b/summary.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        ("ppo cartpole --address ray://127.0.0.1:1", 2, "--storage is missing"),
        ("ppo cartpole --address ray://127.0.0.1:1 --storage runs", 2, "whole path"),
        ("ppo cartpole --address ray://127.0.0.1:1 --storage /mnt/runs", 3, "no Ray cluster answe"),
    ],
)
def test_what_cannot_be_reached_is_refused(said: Said, words: str, code: int, problem: str) -> None:
    ended, out, err = said(words)
    assert (ended, out) == (code, "")
    assert problem in err
