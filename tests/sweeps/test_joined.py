"""Sweeps in a process that has called ``ray.init``, in threads, and in odd places (FAULTS 81)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joining
import pytest
import warm


def _noted(folder: Path) -> None:
    (folder / "told.json").write_text(json.dumps(joining.main(folder)))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("joined")
    process = warm.server().Process(target=_noted, args=(folder,))
    process.start()
    process.join(120)
    process.kill()
    seen: list[Any] = json.loads((folder / "told.json").read_text())
    runs = sorted(path.name for path in (folder / "runs").iterdir())
    assert runs == ["a", "b"], "nothing is left of what was refused"
    return seen


@pytest.mark.fault(81)
@pytest.mark.slow
def test_a_running_ray_is_used_and_left_running(told: list[Any]) -> None:
    assert told[0] == "TERMINATED", "its processes import the user's modules and get the secrets"
    assert told[3] == [], "variables, loggers and printing are as they were"
    assert told[5] == 7, "it still runs"


@pytest.mark.fault(81)
@pytest.mark.slow
def test_one_of_two_sweeps_in_threads_is_refused(told: list[Any]) -> None:
    assert "this process runs a sweep already" in told[1]
    assert told[2] == "TERMINATED"


@pytest.mark.fault(81)
@pytest.mark.slow
def test_a_running_ray_other_than_the_requested_one_is_refused(told: list[Any]) -> None:
    assert "connected to the Ray at" in told[4]
    assert "192.0.2.1:6379 was asked" in told[4]
