"""A trial that fills the memory of its machine: real Ray, real memory."""

from __future__ import annotations

from pathlib import Path

import climbers
import deterministic
import psutil
import pytest
import warm
from conftest import environment
from run_checks import count_problems
from three_nodes import drive, three_nodes

from rltune.runs.folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.by_hand, pytest.mark.fault(12)]

#: What trials may take before Ray ends one of them.
ROOM = 5 << 30


def test_a_trial_that_fills_the_memory_fails_alone(tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + ROOM) / memory.total
    limits = {
        "RAY_memory_usage_threshold": f"{threshold:.4f}",
        "RAY_memory_monitor_refresh_ms": "100",
    }
    with three_nodes(tmp_path, variables=limits) as cluster:
        spec = deterministic.spec_of(
            tmp_path, "a", "fifo", cluster.address, trainable=climbers.Hungry, concurrent=None
        )
        process = warm.server().Process(target=drive, args=(spec, environment()))
        process.start()
        process.join(240)
        process.kill()
        process.join()
    run = RunFolder.open(tmp_path / "a")
    told = [failure.error for trial in run.trials() for failure in run.failures(trial)]
    assert process.exitcode == 0, told
    assert run.summary is not None
    statuses = {trial.id: trial.status for trial in run.summary.trials}
    assert statuses.pop("t01") == "ERROR", told
    assert set(statuses.values()) == {"TERMINATED"}, told
    failures = run.failures("t01")
    assert [failure.tried_again for failure in failures] == [True, True, False]
    ended = "the trial's process was ended: the machine ran out of memory"
    assert all(failure.error.startswith(ended) for failure in failures), told
    assert not [problem for problem in count_problems(run) if "t01" not in problem]
