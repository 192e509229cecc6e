"""Machines, processes and connections that are lost under a sweep: real Ray on three nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import climbers
import deterministic
import psutil
import pytest
import warm
from conftest import environment
from local_cluster import LocalCluster
from run_checks import check_run
from three_nodes import drive, three_nodes

from rltune.errors import MachineError
from rltune.runs.folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with three_nodes(tmp_path_factory.mktemp("nodes")) as cluster:
        yield cluster


class Climb:
    """A sweep of climbers that something happens to."""

    def __init__(self, storage: Path, nodes: LocalCluster, scheduler: str, **options: Any) -> None:
        options = {"trainable": climbers.Slow, **options}
        self.spec = deterministic.spec_of(
            storage, "a", scheduler, nodes.address, concurrent=None, **options
        )
        self.nodes, self.path = nodes, storage / "a"
        self.start()

    def start(self) -> None:
        """Starts it, or continues it."""
        resources = replace(self.spec.resources, address=self.nodes.address)
        spec, self.started = replace(self.spec, resources=resources), time.time()
        self.process = warm.server().Process(target=drive, args=(spec, environment()))
        self.process.start()

    def reports(self) -> int:
        """Rows of all trials."""
        files = self.path.glob("trials/*/progress.jsonl")
        return sum(file.read_bytes().count(b"\n") for file in files)

    def processes(self) -> list[psutil.Process]:
        """Those of its trials."""
        name = self.spec.env_id.rpartition(":")[2]
        return [one for one in self.nodes.workers(name) if one.create_time() > self.started]

    def wait(self, until: Callable[[], bool]) -> None:
        """Waits for something to happen."""
        deadline = time.monotonic() + 60
        while not until():
            assert self.process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def end(self, code: int = 0) -> RunFolder:
        self.process.join(120)
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == code
        return RunFolder.open(self.path)


@pytest.mark.fault(13)
def test_a_sweep_outlives_the_loss_of_two_nodes(nodes: LocalCluster, tmp_path: Path) -> None:
    """Each with its GPU, of which every trial takes one."""
    options = {"trainable": climbers.Together, "gpus_per_trial": 1, "steps": 12_000}
    climb = Climb(tmp_path, nodes, "pbt", max_failures=0, **options)
    climb.wait(lambda: len(climb.processes()) == 3)
    (climb.path / "trials" / "go").touch()
    for _ in range(2):
        reports = climb.reports()
        climb.wait(lambda before=reports: climb.reports() >= before + 8)
        nodes.kill(nodes.nodes[0])
    run = climb.end()
    check_run(run)
    failures = [failure for trial in run.trials() for failure in run.failures(trial)]
    assert failures
    assert {failure.tried_again for failure in failures} == {True}
    told = "the machine of the trial's process was lost: it died, or was cut off"
    assert {failure.error for failure in failures} == {told}
    nodes.add()
    nodes.add()


@pytest.mark.fault(15)
def test_a_process_that_is_stopped_is_replaced(nodes: LocalCluster, tmp_path: Path) -> None:
    climb = Climb(tmp_path, nodes, "fifo", trainable=climbers.Together, steps=12_000)
    climb.wait(lambda: len(climb.processes()) == 3)
    (climb.path / "trials" / "go").touch()
    climb.wait(lambda: climb.reports() >= 6)  # all three train, for seconds
    stopped = climb.processes()[0]
    stopped.suspend()
    climb.wait(lambda: not stopped.is_running() or stopped.status() == "zombie")
    run = climb.end()
    check_run(run)
    (failure,) = [failure for trial in run.trials() for failure in run.failures(trial)]
    assert failure.tried_again
    assert "did not answer for" in failure.error


@pytest.mark.by_hand
@pytest.mark.parametrize("scheduler", ["pbt", "asha"])
def test_nodes_that_join_are_used(nodes: LocalCluster, tmp_path: Path, scheduler: str) -> None:
    for node in list(nodes.nodes):
        nodes.kill(node)
    # Idle processes are used before those that are starting: an interval takes longer than these.
    climb = Climb(tmp_path, nodes, scheduler, steps=60_000, perturb_every=12_000)
    climb.wait(lambda: climb.reports() >= 8)
    assert len(climb.processes()) == 1
    nodes.add()
    nodes.add()
    climb.wait(lambda: len(climb.processes()) == 3)
    time.sleep(10)
    assert len(climb.processes()) == 3
    check_run(climb.end())


@pytest.mark.by_hand
@pytest.mark.fault(11)
def test_an_idle_process_that_dies_costs_a_trial_one_retry(
    nodes: LocalCluster, tmp_path: Path
) -> None:
    """Tune counts it twice, and for good."""
    options = {"trials": 3, "max_failures": 1, "synchronous": True}
    run = Climb(tmp_path, nodes, "pbt", trainable=climbers.KilledIdle, **options).end()
    check_run(run)
    failures = [failure for trial in run.trials() for failure in run.failures(trial)]
    assert [failure.tried_again for failure in failures] == [True]


@pytest.mark.by_hand
@pytest.mark.fault(14)
def test_a_sweep_without_a_head_ends_and_resumes_on_another_cluster(
    nodes: LocalCluster, tmp_path: Path
) -> None:
    climb = Climb(tmp_path, nodes, "pbt")
    climb.wait(lambda: climb.reports() >= 8)
    nodes.kill(nodes.head)
    climb.end(MachineError.exit_code)
    nodes.start()
    climb.start()
    check_run(climb.end())
