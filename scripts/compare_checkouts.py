"""Compares what two checkouts of rltune decide and report for the same seed.

    python scripts/compare_checkouts.py OLD NEW

Each checkout runs the same short sweeps of PPO on CartPole, one trial at a time, under each
scheduler. Then decisions.jsonl, every progress.jsonl and summary.json are compared key by key;
only times may differ. Prints a table and exits with 1 on a difference, or where a scheduler did
not decide what it is there for, so that the comparison would prove little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Each scheduler, and the kind of decision that the sweep must contain.
SCHEDULERS = {"pb2": "exploit", "pbt": "exploit", "asha": "stop", "fifo": None}
#: Keys that hold a time or a speed.
TIMES = {"wall_seconds", "train_seconds", "env_steps_per_second"}
#: A few seconds of training, in which every scheduler decides several times.
OPTIONS = {
    "trials": 8,
    "steps": 8_000,
    "perturb-every": 2_000,
    "set": "min_sample_timesteps_per_iteration=1_000",
    "target": "inf",
    "episodes": 3,
    "selection-episodes": 2,
    "seed": 0,
    "concurrent": 1,
}
ABSENT = "absent"


def sweep(checkout: Path, scheduler: str, storage: Path) -> Path:
    """Runs a sweep with the code of a checkout; its run folder.

    Raises:
        CalledProcessError: it failed.
    """
    run = storage / scheduler
    named = {**OPTIONS, "scheduler": scheduler, "storage": storage, "name": run.name}
    options = [f"--{name}={value}" for name, value in named.items()]
    subprocess.run(
        [sys.executable, "-m", "rltune", "ppo", "cartpole", *options, "--quiet"],
        cwd=storage,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=True,
    )
    return run


# Comparing ----------------------------------------------------------------------------------------


def documents(run: Path) -> dict[tuple[str, int], Any]:
    """Everything a run recorded, by file and line; summary.json counts as one line."""
    files = [run / "decisions.jsonl", *sorted(run.glob("trials/*/progress.jsonl"))]
    lines = {
        (str(file.relative_to(run)), number): json.loads(line)
        for file in files
        if file.exists()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    }
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return {**lines, ("summary.json", 1): summary}


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every value inside a JSON document with its dotted key, as JSON text; times are left out."""
    if not value or not isinstance(value, dict | list):
        yield key, json.dumps(value)
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        if name not in TIMES:
            yield from leaves(item, f"{key}.{name}" if key else str(name))


def first_difference(old: Path, new: Path) -> str | None:
    """Names the first value that differs between two run folders, with both values."""
    before, after = documents(old), documents(new)
    for place in dict.fromkeys([*before, *after]):
        file, line = place
        if place not in before or place not in after:
            return f"{file}:{line}: {ABSENT} in {new if place in before else old}"
        a, b = dict(leaves(before[place])), dict(leaves(after[place]))
        for key in dict.fromkeys([*a, *b]):
            if a.get(key) != b.get(key):
                return f"{file}:{line}: {key}: {a.get(key, ABSENT)} != {b.get(key, ABSENT)}"
    return None


def kinds(run: Path) -> Counter[str]:
    """Counts the decisions of a run by kind."""
    return Counter(
        body["kind"] for (file, _), body in documents(run).items() if file == "decisions.jsonl"
    )


def verdict(scheduler: str, old: Path, new: Path) -> str:
    """Says what is wrong between the two runs of a scheduler; "equal" where nothing is."""
    needed = SCHEDULERS[scheduler]
    if needed and not kinds(old)[needed]:
        return f"no decision of kind {needed}"
    return first_difference(old, new) or "equal"


def compare(old: Path, new: Path, storage: Path) -> bool:
    """Runs and compares every scheduler and prints a row of Markdown for each.

    Args:
        old: the checkout that says what is right.
        new: the checkout to compare with it.

    Returns:
        Whether all are equal.
    """
    equal = True
    print("| scheduler | lines | decisions | result |\n|---|---|---|---|")
    for scheduler in SCHEDULERS:
        runs = []
        for side, checkout in (("old", old), ("new", new)):
            (storage / side).mkdir(parents=True, exist_ok=True)
            runs.append(sweep(checkout, scheduler, storage / side))
        result = verdict(scheduler, *runs)
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds(runs[0]).items()))
        print(f"| {scheduler} | {len(documents(runs[0]))} | {counts or 'none'} | {result} |")
        equal &= result == "equal"
    return equal


def checkout(path: str) -> Path:
    """A checkout named on the command line.

    Raises:
        ArgumentTypeError: it holds no rltune.
    """
    if not (Path(path) / "rltune" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{path} is no checkout of rltune")
    return Path(path).resolve()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("old", type=checkout, help="the checkout that says what is right")
    parser.add_argument("new", type=checkout, help="the checkout to compare with it")
    parser.add_argument("--storage", type=Path, help="keeps the run folders here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = (options.storage or Path(folder)).resolve()
        sys.exit(0 if compare(options.old, options.new, storage) else 1)


if __name__ == "__main__":
    main()
