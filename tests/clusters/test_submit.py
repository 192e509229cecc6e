"""Sweeps as jobs of a real cluster of two nodes that asks for a token."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from conftest import ROOT, Cli, Said, environment, import_path

from rltune.clusters.command import Command
from rltune.clusters.jobs import entrypoint

SHORT = ["--steps", "4k", "--trials", "2", "--scheduler", "fifo", "--target", "inf"]
SHORT += ["--episodes", "5", "--selection-episodes", "2", "--batch", "off", "--no-report"]


class Cluster(NamedTuple):
    """A cluster with a job API; its token is in ``variables``."""

    address: str
    variables: dict[str, str]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes on loopback addresses, with a dashboard.

    By hand, because rltune[cluster] makes every start of Ray a fifth slower, in all other tests.
    """
    pytest.importorskip("aiohttp", reason="the job API needs rltune[cluster]")
    gcs, dashboard = free_port(), free_port()
    rltune = Path(sys.executable).parent
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    around = {
        **environment(),
        **token,
        "PYTHONPATH": import_path(ROOT, Path(__file__).parents[1]),
        "PATH": f"{rltune}:{os.environ['PATH']}",
    }
    common = "--block --num-cpus 1 --disable-usage-stats --dashboard-agent-listen-port"
    head = (
        f"--head --port {gcs} --node-ip-address 127.0.0.1 --include-dashboard true "
        f"--dashboard-host 127.0.0.1 --dashboard-port {dashboard} --ray-client-server-port "
        f"{free_port()} {common} {free_port()}"
    )
    node = f"--address 127.0.0.1:{gcs} --node-ip-address 127.0.0.2 {common} {free_port()}"
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="ray-") as short:
        try:
            for words, port in ((f"{head} --temp-dir {short}", dashboard), (node, None)):
                started.append(
                    subprocess.Popen(
                        [
                            shutil.which("ray", path=around["PATH"]) or "ray",
                            "start",
                            *words.split(),
                        ],
                        env=around,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                )
                if port:
                    _wait_for(port)
            yield Cluster(f"http://127.0.0.1:{dashboard}", token)
        finally:
            _end(started)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on {port}")


def _end(started: list[subprocess.Popen[bytes]]) -> None:
    processes = [psutil.Process(each.pid) for each in started]
    processes += [child for each in processes for child in each.children(recursive=True)]
    for each in started:
        each.terminate()
    for process in psutil.wait_procs(processes, timeout=10)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def submit(cluster: Cluster, cli: Cli, folder: Path, *words: str) -> Any:
    """Submits a sweep of a class that the cluster knows by the job alone."""
    (folder / "own.py").write_text(OWN)
    (folder / "helper.py").write_text("def reward(action):\n    return float(action)\n")
    words = ("--storage", str(folder / "the runs"), "--name", "job", *words)
    words = (*SHORT, *words, "--address", cluster.address)
    return cli("submit", "ppo", "own.py:Env", *words, variables=cluster.variables)


@pytest.mark.by_hand
def test_what_a_job_says_and_how_it_ends_comes_back(
    cluster: Cluster, cli: Cli, tmp_path: Path
) -> None:
    """rltune refuses the request on the cluster, where only the run folder is in the way."""
    (tmp_path / "the runs/job").mkdir(parents=True)
    (tmp_path / "the runs/job/other").write_text("")
    done = submit(cluster, cli, tmp_path)
    assert done.returncode == 2, done.stderr
    assert "exists already" in done.stdout
    assert "follow it: ray job logs --follow" in done.stderr
    assert (tmp_path / "the runs/.shipped/job/helper.py").is_file()


@pytest.mark.by_hand
def test_a_sweep_of_own_code_runs_as_a_job(cluster: Cluster, cli: Cli, tmp_path: Path) -> None:
    done = submit(cluster, cli, tmp_path, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 2
    assert all(4000 <= trial["env_steps"] < 5000 for trial in summary["trials"])
    request = (tmp_path / "the runs/job/run.json").read_text()
    assert str(tmp_path / "the runs/.shipped/job/own.py") in request
    assert cluster.variables["RAY_AUTH_TOKEN"] not in request


OWN = """\
import gymnasium as gym
import helper

class Env(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}
    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), helper.reward(action), False, self.steps >= 20, {}
"""


@pytest.mark.by_hand
def test_an_interrupted_wait_leaves_the_job_running(cluster: Cluster, tmp_path: Path) -> None:
    words = ["--steps", "40k", *SHORT[2:], "--storage", str(tmp_path / "runs"), "--name", "long"]
    words += ["--address", cluster.address]
    waiting = subprocess.Popen(
        [sys.executable, "-m", "rltune", "submit", "ppo", "cartpole", *words],
        env={**environment(), **cluster.variables, "PYTHONPATH": import_path(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "runs/long/run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert re.search(r"ray job stop \S+ --address " + cluster.address, said)
    while not (tmp_path / "runs/long/summary.json").exists() and time.monotonic() < deadline + 120:
        time.sleep(1)
    summary = json.loads((tmp_path / "runs/long/summary.json").read_text())
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 2


@pytest.mark.by_hand
def test_a_wrong_token_is_refused(
    cluster: Cluster, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**cluster.variables, "RAY_AUTH_TOKEN": "0" * 64}.items():
        monkeypatch.setenv(name, value)
    words = ["--storage", "/tmp/runs", "--address", cluster.address]
    done = cli("submit", "ppo", "cartpole", *SHORT, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did not let us in" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        ("--storage /mnt/runs", 2, "--address is missing"),
        ("--address http://127.0.0.1:1", 2, "--storage is missing"),
        ("--address http://127.0.0.1:1 --storage runs", 2, "--storage /mnt/runs"),
        ("--address 127.0.0.1:6379 --storage /mnt/runs", 2, "--address http://HOST:8265"),
    ],
)
def test_a_wrong_address_is_refused(said: Said, words: str, code: int, problem: str) -> None:
    ended, out, err = said(f"submit ppo cartpole {words}")
    assert (ended, out) == (code, "")
    assert problem in err


def test_nobody_answers(said: Said) -> None:
    """Nor is there anything to ask with, where the job API's packages are not installed."""
    installed = find_spec("aiohttp") is not None
    code, out, err = said("submit ppo cartpole --address http://127.0.0.1:1 --storage /mnt/runs")
    assert (code, out) == (3 if installed else 2, "")
    assert ("does not answer" if installed else "rltune[cluster]") in err


def test_a_job_without_rltune_says_so() -> None:
    command = Command("/mnt/runs/x", ("rltune", "ppo", "cartpole"), ())
    done = subprocess.run(
        ["/bin/sh", "-c", entrypoint(command)], env={"PATH": "/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "not installed" in done.stdout
