"""Sweeps killed at any moment continue exactly where they were.

The trainable is deterministic and runs one at a time, so that the order of reports is fixed: what
a scheduler decides after a resume must equal what it decides in a sweep that was never killed.
``RLTUNE_KILLS`` says at how many random moments each is killed (20 for the full proof).
"""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import climbers
import deterministic
import pytest
import warm
from sweeps.killed import without_seconds

from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("RLTUNE_KILLS", "1"))
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "pb2": ("pb2", {}),
    "pbt": ("pbt", {}),
    "pbt-synchronous": ("pbt", {"synchronous": True}),
    "asha": ("asha", {}),
}


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cluster_address: str,
) -> tuple[RunSpec, float]:
    """A sweep that was never killed, and the seconds it took."""
    scheduler, options = CASES[request.param]
    storage = tmp_path_factory.mktemp(request.param)
    spec = deterministic.spec_of(storage, "whole", scheduler, cluster_address, **options)
    started = time.monotonic()
    _finish(spec)
    return spec, time.monotonic() - started


def _start(spec: RunSpec, *more: Any) -> Any:
    process = warm.server().Process(target=deterministic.climb, args=(spec, *more))
    process.start()
    return process


def _finish(spec: RunSpec, *more: Any) -> RunFolder:
    process = _start(spec, *more)
    process.join(60)
    process.kill()
    assert process.exitcode == 0
    return RunFolder.open(Path(spec.storage) / spec.name)


def _outcome(folder: RunFolder) -> dict[str, Any]:
    """All that was decided, and all that later decisions would depend on."""
    saved = state_file.read(folder.path)
    assert saved is not None
    decisions = [line for line in folder.decisions() if line.kind != "restore"]
    rows = {
        name: [
            (row.env_steps, row.episode_reward_mean, dict(row.settings))
            for row in folder.reports(name)
        ]
        for name in folder.trials()
    }
    return {
        "decisions": decisions,
        "rows": rows,
        "parts": without_seconds(saved["parts"]),
        "trials": without_seconds(saved["trials"]),
    }


@pytest.mark.fault(2)
@pytest.mark.parametrize("kill", range(KILLS))
def test_a_killed_sweep_decides_as_an_uninterrupted_one(
    case: tuple[RunSpec, float], kill: int
) -> None:
    whole, seconds = case
    spec = replace(whole, name=f"killed-{kill}")
    rng = random.Random(f"{whole.budget.scheduler}-{whole.budget.synchronous}-{kill}")
    process = _start(spec)
    process.join(rng.uniform(0.2, seconds))
    process.kill()
    process.join()
    path = Path(spec.storage) / spec.name
    before = RunFolder(path).decisions()
    folder = _finish(spec)
    expected = _outcome(RunFolder(Path(whole.storage) / whole.name))
    assert _outcome(folder) == expected
    assert [line for line in folder.decisions() if line in before] == before
    for name in folder.trials():
        steps = [row.env_steps for row in folder.reports(name)]
        assert steps == sorted(set(steps))
        assert len(folder.discarded(name)) <= deterministic.INTERVAL // climbers.REPORT
    shutil.rmtree(path)


@pytest.mark.fault(3)
def test_a_synchronous_population_killed_at_its_barrier_passes_it(
    tmp_path: Path, cluster_address: str
) -> None:
    spec = deterministic.spec_of(tmp_path, "a", "pbt", cluster_address, synchronous=True)
    process = _start(spec, "barrier")
    process.join(60)
    assert process.exitcode == -9
    saved = state_file.read(tmp_path / "a")
    assert saved is not None
    members = saved["parts"]["scheduler"]["members"].values()
    assert [member["env_steps"] for member in members] == [deterministic.INTERVAL] * 4
    folder = _finish(spec)
    assert folder.decisions()[0].env_steps == deterministic.INTERVAL
    assert {folder.reports(name)[-1].env_steps for name in folder.trials()} == {6_000}


def test_a_decision_is_saved_before_it_takes_effect(tmp_path: Path, cluster_address: str) -> None:
    """Nothing of the clone has run yet when the process dies."""
    spec = deterministic.spec_of(tmp_path, "a", "pbt", cluster_address)
    process = _start(spec, "exploit")
    process.join(60)
    assert process.exitcode == -9
    saved = state_file.read(tmp_path / "a")
    assert saved is not None
    (decided,) = saved["parts"]["recorder"]["open"]
    clone = next(trial for trial in saved["trials"] if trial["id"] == decided["trial"])
    assert clone["status"] != "RUNNING"
    assert clone["config"]["exploit"]["donor"] == decided["donor"]
    assert RunFolder(tmp_path / "a").decisions() == []
    first = _finish(spec).decisions()[0]
    assert {name: first.to_dict()[name] for name in decided} == decided
    assert first.effective == decided["requested"]


@pytest.mark.fault(9)
def test_a_run_that_was_moved_resumes(tmp_path: Path, cluster_address: str) -> None:
    spec = deterministic.spec_of(tmp_path / "old", "a", "pbt", cluster_address)
    process = _start(spec)
    while len(RunFolder(tmp_path / "old" / "a").decisions()) < 2:
        process.join(0.1)
    process.kill()
    process.join()
    shutil.move(tmp_path / "old", tmp_path / "new")
    shutil.copytree(tmp_path / "new" / "a", tmp_path / "new" / "copy")
    shutil.rmtree(tmp_path / "new" / "a")
    moved = RunFolder.open(tmp_path / "new" / "copy").spec
    assert (moved.storage, moved.name) == (str(tmp_path / "new"), "copy")
    folder = _finish(moved)
    assert {folder.reports(name)[-1].env_steps for name in folder.trials()} == {6_000}
    assert not (tmp_path / "old").exists()
