"""Compares what ``rltune plan`` predicts with what the runs then take.

    python scripts/bench_plan.py --out plans.jsonl             # five presets, ten minutes
    python scripts/bench_plan.py --out plans.jsonl --report    # the table alone

Each preset is planned, then run to the end of its shortened budget, without a target, by the same
command line in a process of its own: seconds are those of the whole command, disk is that of the
run folder. Prints a table of docs/benchmarks.md. The machine must be as busy during a run as it was
during its plan.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: Presets, with budgets that take a minute or two on two cores.
RUNS = {
    "ppo cartpole": "--steps 100k",
    "dqn cartpole": "--steps 30k",
    "ppo acrobot": "--steps 150k",
    "sac pendulum": "--steps 8k",
    "ppo lunarlander": "--steps 100k --scheduler asha --trials 8",
}


def measure(preset: str, options: str) -> dict[str, Any]:
    """Plans a run, then runs it. Returns both."""
    words = [*preset.split(), *options.split(), "--target", "inf", "--seed", "1"]
    with tempfile.TemporaryDirectory() as storage:
        place = ["--storage", storage, "--name", "run"]
        load = os.getloadavg()[0]
        planned = _rltune("plan", *words, *place, "--json")
        began = time.perf_counter()
        _rltune(*words, *place, "--json")
        seconds = time.perf_counter() - began
        files = [path for path in (Path(storage) / "run").rglob("*") if path.is_file()]
        return {
            "preset": preset,
            "options": options,
            "planned": planned["ways"]["as asked"],
            "seconds": seconds,
            "disk": sum(path.stat().st_size for path in files),
            "load": (load, os.getloadavg()[0]),
        }


def _rltune(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "rltune", *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return values


def table(rows: list[dict[str, Any]]) -> str:
    """Measurements as a table in Markdown."""
    head = ("", "time, planned", "at most", "taken", "off by", "disk, planned", "taken", "load")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        planned = row["planned"]
        cells = [
            f"{row['preset']} {row['options']}",
            f"{planned['seconds']:.0f} s",
            f"{planned['at_most']:.0f} s",
            f"{row['seconds']:.0f} s",
            f"{planned['seconds'] / row['seconds'] - 1:+.0%}",
            f"{planned['disk'] / 1e6:.1f} MB",
            f"{row['disk'] / 1e6:.1f} MB",
            " to ".join(f"{load:.1f}" for load in row["load"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--presets", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--out", type=Path, help="file of measurements, one a line")
    parser.add_argument("--report", action="store_true", help="the table of what is in the file")
    options = parser.parse_args()
    rows = []
    if options.out and options.out.exists():
        rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    for preset in [] if options.report else options.presets:
        rows.append(measure(preset, RUNS[preset]))
        if options.out:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
