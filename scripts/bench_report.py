"""Measures the report of a large run: how long it takes to write and to open, and its size.

``python scripts/bench_report.py`` simulates a sweep of 200 trials with 500 reports each, writes its
report in a process of its own and opens it in the Chromium that is installed. Opened means that
every plot is drawn.
"""

from __future__ import annotations

import argparse
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import rltune
from rltune.simulator.run_folder import write_run

SPACE = {
    "lr": {"log": [1e-5, 1e-1], "default": 1e-4},
    "gamma": {"one_minus_log": [0.9, 0.9999], "default": 0.99},
    "lambda_": {"uniform": [0.8, 1.0], "default": 0.95},
    "clip_param": {"uniform": [0.1, 0.4], "default": 0.2},
    "entropy_coeff": {"log": [1e-5, 1e-1], "default": 1e-3},
    "train_batch_size": {"pow2": [256, 4096], "default": 1024},
    "activation": {"choice": ["relu", "tanh"], "default": "tanh"},
}
REPEATS = 3


def score(settings: Mapping[str, Any], env_steps: int) -> float:
    """Returns the score of a trial, which three of the settings decide."""
    distance = abs(math.log10(settings["lr"]) + 3) + 20 * abs(settings["gamma"] - 0.99)
    speed = 1 + (settings["activation"] == "tanh")
    return 500 * (1 - math.exp(-speed * env_steps / 20_000)) - 60 * distance


def seconds_to_write(run: Path) -> tuple[float, float]:
    """Returns the wall and the CPU seconds of ``rltune report RUN``, Python's start included."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "rltune", "report", str(run)], check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def seconds_to_open(report: Path) -> float:
    """Returns the seconds from a click to the last plot, in a window of a fresh browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        start = time.perf_counter()
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


def main() -> None:
    """Prints a line a measurement; times are the best of three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--reports", type=int, default=500, help="of each trial")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        sweep = rltune.simulate(
            score,
            SPACE,
            scheduler="fifo",
            trials=asked.trials,
            steps=100 * asked.reports,
            report_every=100,
            noise=8.0,
        )
        run = write_run(sweep, Path(place) / "large").path
        wrote = min(seconds_to_write(run) for _ in range(REPEATS))
        report = run / "report.html"
        opened = min(seconds_to_open(report) for _ in range(REPEATS))
        rows = sum(len(trial.reports) for trial in sweep.trials)
        print(f"{len(sweep.trials)} trials, {rows:,} reports")
        print(f"written in  {wrote[0]:.1f} s ({wrote[1]:.1f} s of CPU)")
        print(f"opened in   {opened:.1f} s")
        print(f"size        {report.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
