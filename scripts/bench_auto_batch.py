"""Whole commands that train seeds or a population: as batches, and each trial in its own process.

    python scripts/bench_auto_batch.py --envs pendulum acrobot --trials 16 --rounds 3
    python scripts/bench_auto_batch.py --scheduler pb2 --trials 4

Runs `rltune train`, or with `--scheduler` a sweep, with `--batch off` and with as many trials in a
batch as there are for each core, in turn, and prints the seconds from the command to its end,
start-up included, and their ratio. `--batch auto` chooses by these figures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from math import ceil
from pathlib import Path

import numpy as np

from rltune.processes import machine
from rltune.statistics import interval

#: Environment steps of a trial.
STEPS = 30_000
ENVS = (
    "cartpole",
    "acrobot",
    "mountaincar",
    "mountaincar-continuous",
    "pendulum",
    "lunarlander",
    "frozenlake",
    "taxi",
    "inverted-pendulum",
    "reacher",
)


def seconds(job: str, steps: int, batch: str) -> float:
    """How long a command takes; raises CalledProcessError where it fails."""
    words = f"{job} --steps {steps} --target inf --batch {batch}"
    more = "--episodes 5 --selection-episodes 5 --name a --quiet"
    root = str(Path(__file__).resolve().parents[1])
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "rltune", *words.split(), *more.split()],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - begun


def main() -> None:
    """Prints a row for each environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--envs", nargs="+", default=list(ENVS))
    parser.add_argument("--scheduler", help="of a population; seeds without")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cores = machine.cores().amount
    batch = str(ceil(asked.trials / cores))
    kind = f"members of {asked.scheduler}" if asked.scheduler else "seeds"
    print(f"{asked.trials} {kind}, {asked.steps:,} steps each, {cores:g} cores\n")
    print(f"| {asked.algo} | a process each, s | batches of {batch}, s | times as fast |")
    print("|---|---|---|---|")
    for env in asked.envs:
        job = f"train {asked.algo} {env} --seeds {asked.trials}"
        if asked.scheduler:
            job = f"{asked.algo} {env} --trials {asked.trials} --scheduler {asked.scheduler}"
            job += f" --perturb-every {asked.steps // 10}"
        found = np.array(
            [
                [seconds(job, asked.steps, side) for side in ("off", batch)]
                for _ in range(asked.rounds)
            ]
        )
        alone, together = found.mean(axis=0)
        ratios = found[:, 0] / found[:, 1]
        low, high = interval(ratios) if asked.rounds > 2 else (ratios.min(), ratios.max())
        spread = f"{ratios.mean():.2f} [{low:.2f}, {high:.2f}]"
        print(f"| {env} | {alone:.0f} | {together:.0f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
