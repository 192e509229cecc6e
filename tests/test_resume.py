"""Sweeps killed at any moment go on exactly where they were.

The trainable is deterministic and runs one at a time, so that the order of reports is fixed: what
a scheduler decides after a resume must equal what it decides in a sweep that was never killed.
``RLTUNE_KILLS`` says at how many random moments each is killed (20 for the full proof).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import deterministic
import pytest
from conftest import CLUSTER, ray_head

from rltune import state
from rltune.runs import RunFolder
from rltune.spec import RunSpec

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("RLTUNE_KILLS", "2"))
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "pb2": ("pb2", {}),
    "pbt": ("pbt", {}),
    "pbt-synchronous": ("pbt", {"synchronous": True}),
    "asha": ("asha", {}),
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    yield from ray_head({"PYTHONPATH": str(Path(__file__).parent)})


@pytest.fixture(scope="module")
def processes() -> Any:
    """Starts processes that have imported everything already."""
    os.environ.update(CLUSTER)  # the fork server's processes inherit them
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rltune.sweeps", "deterministic"])
    return context


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    address: str,
    processes: Any,
) -> tuple[RunSpec, float]:
    """A sweep that was never killed, and the seconds it took."""
    scheduler, options = CASES[request.param]
    storage = tmp_path_factory.mktemp(request.param)
    spec = deterministic.spec_of(storage, "whole", scheduler, address, **options)
    started = time.monotonic()
    _finish(processes, spec)
    return spec, time.monotonic() - started


def _start(processes: Any, spec: RunSpec) -> Any:
    process = processes.Process(target=deterministic.climb, args=(spec,))
    process.start()
    return process


def _finish(processes: Any, spec: RunSpec) -> RunFolder:
    process = _start(processes, spec)
    process.join(60)
    process.kill()
    assert process.exitcode == 0
    return RunFolder.open(Path(spec.storage) / spec.name)


def _outcome(folder: RunFolder) -> dict[str, Any]:
    """All that was decided, and all that later decisions would depend on."""
    saved = state.read(folder.path)
    assert saved is not None
    decisions = [line for line in folder.decisions() if line["kind"] != "restore"]
    rows = {
        name: [
            (row.env_steps, row.episode_reward_mean, dict(row.settings))
            for row in folder.rows(name)
        ]
        for name in folder.trials()
    }
    return {
        "decisions": decisions,
        "rows": rows,
        "parts": saved["parts"],
        "trials": saved["trials"],
    }


@pytest.mark.parametrize("kill", range(KILLS))
def test_02_a_killed_sweep_decides_what_one_decides_that_was_not(
    case: tuple[RunSpec, float], processes: Any, kill: int
) -> None:
    whole, seconds = case
    spec = replace(whole, name=f"killed-{kill}")
    rng = random.Random(f"{whole.budget.scheduler}-{whole.budget.synchronous}-{kill}")
    process = _start(processes, spec)
    process.join(rng.uniform(0.2, seconds))
    process.kill()
    process.join()
    path = Path(spec.storage) / spec.name
    before = RunFolder(path).decisions()
    folder = _finish(processes, spec)
    expected = _outcome(RunFolder(Path(whole.storage) / whole.name))
    assert _outcome(folder) == expected
    assert [line for line in folder.decisions() if line in before] == before
    for name in folder.trials():
        steps = [row.env_steps for row in folder.rows(name)]
        assert steps == sorted(set(steps))
        assert len(folder.discarded(name)) <= deterministic.INTERVAL // deterministic.REPORT
    shutil.rmtree(path)
