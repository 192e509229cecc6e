"""Every searcher over real Ray, in one process: a whole sweep each, and one that was cut off."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import functions
import ray
from sweeps.killed import copied

import rltune
from rltune.runs.folder import RunFolder
from rltune.sweeps import runner

SPACE: dict[str, Any] = {
    "lr": {"log": [1e-5, 1e-1]},
    "model": {"layers": {"int": [1, 4]}, "activation": {"choice": ["relu", "tanh"]}},
}
POINTS = [{"lr": 1e-3, "model": {"layers": 2, "activation": "tanh"}}, {"lr": 1e-4}]
TRIALS = 6
#: Trials that have started when a sweep is cut off.
CUT = 4


def sweep(searcher: str, trials: int, folder: Path) -> None:
    """Sweeps in ``whole``, with a copy in ``cut`` of the run folder as a kill would leave it."""
    with copied(folder / "cut" / searcher, lambda state: _started(state) == CUT):
        rltune.tune(
            functions.peak,
            SPACE,
            metric="height",
            searcher=searcher,
            trials=trials,
            points=POINTS,
            steps=2,
            concurrent=1,
            seed=3,
            storage=folder / "whole",
            name=searcher,
        )


def _started(state: Mapping[str, Any]) -> int:
    return len(state["parts"]["history"]["trials"])


def drive(folder: Path, address: str, variables: Mapping[str, str], asked: Sequence[Any]) -> None:
    """The whole of a process: sweeps, and continues what was cut off."""
    os.environ.update(variables)
    ray.init(address=address, log_to_driver=False)
    for searcher, trials in asked:
        sweep(searcher, trials, folder)
        runner.resume(RunFolder.open(folder / "cut" / searcher))
