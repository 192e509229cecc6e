"""A trial that fills the memory of its machine: real Ray, real memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import climbers
import deterministic
import psutil
import pytest
import warm
from conftest import environment
from local_cluster import LocalCluster
from run_checks import check_run, count_problems
from three_nodes import drive, three_nodes

from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

pytestmark = [pytest.mark.slow, pytest.mark.by_hand, pytest.mark.fault(12)]

TOLD = "the trial's process was ended: the machine ran out of memory"
#: What trials may take before Ray ends one of them.
ROOM = 5 << 30


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[LocalCluster]:
    """Three, which Ray takes for machines of their own: each with all memory there is."""
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + ROOM) / memory.total
    limits = {
        "RAY_memory_usage_threshold": f"{threshold:.4f}",
        "RAY_memory_monitor_refresh_ms": "100",
    }
    with three_nodes(tmp_path, variables=limits) as cluster:
        yield cluster


def driven(spec: RunSpec, told: str) -> RunFolder:
    """A sweep's folder after it has ended; every failure of a trial begins with some words."""
    process = warm.server().Process(target=drive, args=(spec, environment()))
    process.start()
    process.join(240)
    process.kill()
    process.join()
    run = RunFolder(Path(spec.storage) / "a")
    failures = [failure.error for trial in run.trials() for failure in run.failures(trial)]
    assert process.exitcode == 0, failures
    assert failures
    assert all(error.startswith(told) for error in failures), failures
    return run


def test_a_trial_that_fills_the_memory_fails_alone(nodes: LocalCluster, tmp_path: Path) -> None:
    spec = deterministic.spec_of(
        tmp_path, "a", "fifo", nodes.address, trainable=climbers.Hungry, concurrent=None
    )
    run = driven(spec, TOLD)
    assert run.summary is not None
    statuses = {trial.id: trial.status for trial in run.summary.trials}
    assert statuses.pop("t01") == "ERROR"
    assert set(statuses.values()) == {"TERMINATED"}
    assert [failure.tried_again for failure in run.failures("t01")] == [True, True, False]
    assert not [problem for problem in count_problems(run) if "t01" not in problem]


def test_a_batch_that_fills_the_memory_is_tried_again(nodes: LocalCluster, tmp_path: Path) -> None:
    words: dict[str, Any] = {"trials": 4, "batch": 2, "steps": 4_000, "perturb_every": 1_000}
    words |= {"env_args": {"mark": str(tmp_path / "mark")}, "episodes": 3, "target": math.inf}
    words |= {"settings": {"fcnet_hiddens": [16]}, "selection_episodes": 1, "name": "a"}
    spec = make_spec("ppo", "faulty:Hungry", address=nodes.address, storage=tmp_path, **words)
    check_run(driven(spec, TOLD))
