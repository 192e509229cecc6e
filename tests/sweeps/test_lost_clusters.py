"""The main job on three nodes that are killed, stopped and cut off, to its end: by hand."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from local_cluster import LocalCluster
from run_checks import check_run
from three_nodes import Proxy, three_nodes
from warm import Started, run_rltune

from rltune.runs.folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.by_hand, pytest.mark.timeout(900)]

PRESET = """\
[budget]
steps = 24_000
trials = 4
perturb_every = 2_000
target = inf
[evaluation]
episodes = 5
selection_episodes = 3
[settings]
min_sample_timesteps_per_iteration = 1_000
"""
KINDS = {
    "pb2": "--scheduler pb2 --batch off",
    "asha": "--scheduler asha --batch off",
    "pb2-batch": "--scheduler pb2 --batch 2",
    "asha-batch": "--scheduler asha --batch 2",
}
each_kind = pytest.mark.parametrize("kind", KINDS)
two_kinds = pytest.mark.parametrize("kind", ["pb2", "asha-batch"])
#: Seconds after which Ray ends a driver whose head is gone, and what rltune makes of them.
RAY_ENDS = {"RAY_gcs_rpc_server_reconnect_timeout_s": "40"}
PATIENCE = 60


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[LocalCluster]:
    with three_nodes(tmp_path, forked=False) as cluster:
        yield cluster


class Main:
    """The main job."""

    def __init__(self, folder: Path, kind: str, address: str) -> None:
        (folder / "preset.toml").write_text(PRESET)
        words = f"ppo cartpole --preset preset.toml --name a {KINDS[kind]}"
        self.folder, self.path = folder, folder / "runs" / "a"
        self.process = Started(folder, *words.split(), variables=RAY_ENDS, cluster=address)

    def reports(self) -> int:
        """Rows of all trials."""
        files = self.path.glob("trials/*/progress.jsonl")
        return sum(file.read_bytes().count(b"\n") for file in files)

    def wait_for(self, more: int) -> None:
        """Waits for so many rows more."""
        before = self.reports()
        self.wait(lambda: self.reports() >= before + more)

    def wait(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 240
        while not until():
            assert self.process.is_running(), self.process.end()
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def lost(self) -> None:
        """Waits for its end without a head."""
        began = time.monotonic()
        done = self.process.end(PATIENCE)
        assert done.returncode == 3, done.stderr
        assert time.monotonic() - began < PATIENCE
        assert "error: the head of the Ray cluster has not answered for" in done.stderr
        assert "continue with: rltune resume runs/a" in done.stderr
        assert "Traceback" not in done.stderr

    def resumed(self, address: str) -> RunFolder:
        """The folder after a resume to the end."""
        done = run_rltune(self.folder, "resume", "runs/a", "--address", address)
        assert done.returncode == 0, done.stderr
        return RunFolder.open(self.path)

    def end(self) -> RunFolder:
        done = self.process.end(400)
        assert done.returncode == 0, done.stderr
        return RunFolder.open(self.path)


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@each_kind
@pytest.mark.fault(13)
def test_two_nodes_are_lost(nodes: LocalCluster, tmp_path: Path, kind: str) -> None:
    job = Main(tmp_path, kind, nodes.address)
    for _ in range(2):
        job.wait_for(8)
        nodes.kill(nodes.nodes[0])
    check_run(job.end())


@each_kind
@pytest.mark.fault(15)
def test_a_process_is_stopped_for_two_minutes(
    nodes: LocalCluster, tmp_path: Path, kind: str
) -> None:
    job = Main(tmp_path, kind, nodes.address)
    job.wait_for(8)
    stopped, began = nodes.workers("PPO", "MemberGroup")[0], time.monotonic()
    stopped.suspend()
    job.wait(lambda: gone(stopped))
    assert time.monotonic() - began < 120
    check_run(job.end())


@two_kinds
@pytest.mark.fault(15)
def test_a_node_is_stopped_and_wakes(nodes: LocalCluster, tmp_path: Path, kind: str) -> None:
    """As a virtual machine that is moved: Ray takes it for dead, and it writes on when it wakes."""
    job = Main(tmp_path, kind, nodes.address)
    job.wait_for(8)
    stopped = nodes.nodes[0].all_processes()
    for process in stopped:
        process.suspend()
    job.wait_for(8)
    time.sleep(10)
    for process in stopped:
        process.resume()
    check_run(job.end())


@two_kinds
@pytest.mark.fault(14)
def test_the_head_dies(nodes: LocalCluster, tmp_path: Path, kind: str) -> None:
    job = Main(tmp_path, kind, nodes.address)
    job.wait_for(8)
    nodes.kill(nodes.head)
    job.lost()
    nodes.start()
    check_run(job.resumed(nodes.address))


@two_kinds
@pytest.mark.fault(14)
def test_the_connection_is_cut(nodes: LocalCluster, tmp_path: Path, kind: str) -> None:
    with Proxy(nodes.address) as proxy:
        job = Main(tmp_path, kind, proxy.address)
        job.wait_for(8)
        proxy.cut()
        job.lost()
    check_run(job.resumed(nodes.address))


@two_kinds
def test_the_connection_comes_back(nodes: LocalCluster, tmp_path: Path, kind: str) -> None:
    with Proxy(nodes.address) as proxy:
        job = Main(tmp_path, kind, proxy.address)
        job.wait_for(8)
        proxy.cut()
        time.sleep(10)
        proxy.restore()
        run = job.end()
    check_run(run)
    assert not any(run.failures(trial) for trial in run.trials())


@two_kinds
@pytest.mark.fault(1)
def test_the_driver_is_killed(nodes: LocalCluster, tmp_path: Path, kind: str) -> None:
    job = Main(tmp_path, kind, nodes.address)
    job.wait_for(8)
    job.process.send_signal(signal.SIGKILL)
    workers = nodes.workers("PPO", "MemberGroup")
    job.process.end(0)
    assert not psutil.wait_procs(workers, timeout=30)[1]
    check_run(job.resumed(nodes.address))
