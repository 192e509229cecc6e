"""Run folders of simulated sweeps: a population and a search, each made in a moment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rltune.runs.folder import RunFolder
from rltune.simulator import simulate
from rltune.simulator.run_folder import write_run

SPACE = {
    "lr": {"log": [1e-5, 1e-1], "default": 1e-3},
    "gamma": {"one_minus_log": [0.9, 0.9999], "default": 0.99},
    "activation": {"choice": ["relu", "tanh"], "default": "relu"},
}


def score(settings: Mapping[str, Any], env_steps: int) -> float:
    """Returns a score that depends on ``lr`` most, on ``gamma`` a little, on the rest not."""
    distance = abs(math.log10(settings["lr"]) + 3) + 0.3 * abs(settings["gamma"] - 0.99)
    return 500 * (1 - math.exp(-env_steps / 3_000)) - 80 * distance


def population(storage: Path, name: str = "population") -> RunFolder:
    """A population of six that copied each other, one of which failed at times."""
    sweep = simulate(
        score,
        SPACE,
        scheduler="pbt",
        trials=6,
        steps=10_000,
        noise=2.0,
        seed=3,
        failures=0.02,
    )
    return write_run(sweep, storage / name)


def front(storage: Path, name: str = "front", **options: Any) -> RunFolder:
    """A search for a high score in few seconds, of which bold settings take more."""
    asked = {"scheduler": "fifo", "searcher": "tpe", "steps": 3_000, "seed": 1, **options}
    sweep = simulate(
        score,
        SPACE,
        trials=24,
        objective="score,-seconds",
        seconds_per_step=lambda settings: 0.02 + settings["lr"],
        **asked,
    )
    return write_run(sweep, storage / name)


def search(storage: Path, name: str = "search", trials: int = 24, **options: Any) -> RunFolder:
    """A search in which ASHA stopped most trials."""
    asked = {"scheduler": "asha", "steps": 9_000, "noise": 2.0, "seed": 1, **options}
    return write_run(simulate(score, SPACE, trials=trials, **asked), storage / name)
