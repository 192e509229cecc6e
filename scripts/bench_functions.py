"""Measures a sweep of a function: seconds, memory of the process that drives it, size on disk.

Each trial reports five times, with a checkpoint each time. Prints a table of docs/benchmarks.md:

    pip install -e '.[optuna]' && python scripts/bench_functions.py
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rltune

SPACE = {"lr": {"log": [1e-5, 1e-1]}, "width": {"int": [1, 64]}, "act": {"choice": ["a", "b"]}}
REPORTS = 5


def train(config: Mapping[str, Any]) -> None:
    """Reports a score that is highest at a rate of 1e-3, and where it was."""
    began = (rltune.get_checkpoint() or {"step": 0})["step"]
    away = abs(config["lr"] - 1e-3) + abs(config["width"] - 32) / 100
    for step in range(began + 1, REPORTS + 1):
        rltune.report({"score": step / REPORTS - away}, checkpoint={"step": step})


def one(searcher: str, trials: int) -> None:
    """Runs a sweep in this process and prints what it took."""
    with tempfile.TemporaryDirectory() as storage:
        started = time.perf_counter()
        run = rltune.tune(
            train,
            SPACE,
            metric="score",
            searcher=searcher,
            trials=trials,
            steps=REPORTS,
            storage=storage,
        )
        seconds = time.perf_counter() - started
        summary = run.folder.summary
        assert summary is not None
        files = [path for path in Path(run.folder.path).rglob("*") if path.is_file()]
        figures = {
            "seconds": seconds,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
            "disk": sum(path.stat().st_size for path in files) / 1e6,
            "ended": dict(Counter(trial.status for trial in summary.trials)),
            "best": summary.best and summary.best.score,
        }
        print(json.dumps(figures))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--searchers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.trials)
        return
    print("| searcher | trials | seconds | memory | disk | how they ended | best score |")
    print("|---|---|---|---|---|---|---|")
    for searcher in options.searchers:
        words = [sys.executable, *sys.argv, "--one", searcher]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        got = json.loads(done.stdout.strip().splitlines()[-1])
        ended = ", ".join(f"{count} {status}" for status, count in got["ended"].items())
        print(
            f"| {searcher} | {options.trials} | {got['seconds']:.0f} | {got['memory']:.0f} MB | "
            f"{got['disk']:.1f} MB | {ended} | {got['best']:.3f} |"
        )


if __name__ == "__main__":
    main()
