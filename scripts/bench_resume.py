"""Measures the cost of three kills: a sweep uninterrupted, and killed with -9 and resumed.

    python scripts/bench_resume.py

A population of four PPO members on CartPole under PB2. The driver alone is killed, as a crash
would, at three random moments spread over the run; what Ray started has to go by itself. Then
``rltune resume`` continues. Prints both wall times and what each kill cost, and exits with 1 where
the killed run took more than 1.5 times as long or anything was lost that may not be:

- both runs have the same trials, and each reaches its steps;
- the environment steps in each trial's progress.jsonl rise from line to line;
- every line that decisions.jsonl held at a kill is still there;
- no member goes back by more than one interval, and nothing is left running after a kill.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

KILLS = 3
#: The killed run may take this many times the uninterrupted one's wall time.
ALLOWED_RATIO = 1.5
#: Seconds until all processes of a killed driver must have ended; Ray's agents take a minute.
PATIENCE = 90.0
#: The last kill comes before this share of the steps, so that there is something left to do.
LAST_KILL = 0.95


@dataclass(frozen=True)
class Snapshot:
    """The records of a run folder at one moment, only whole lines.

    Attributes:
        reports: rows of progress.jsonl by trial.
        decisions: lines of decisions.jsonl.
    """

    reports: dict[str, list[dict[str, Any]]]
    decisions: list[str]

    @property
    def env_steps(self) -> int:
        """Of all trials together, each by its own clock."""
        return sum(rows[-1]["env_steps"] for rows in self.reports.values() if rows)


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        before: the run at that moment.
        left: commands of processes that Ray had started and that run on all the same.
    """

    before: Snapshot
    left: list[str]


@dataclass(frozen=True)
class Outcome:
    """A run from its start to its end.

    Attributes:
        seconds: wall time of its processes, added up.
    """

    seconds: float
    kills: list[Kill]
    end: Snapshot


def whole_lines(path: Path) -> list[str]:
    """The whole lines of a file; a last one that a crash cut is left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text.split("\n")[:-1]


def snapshot(run: Path) -> Snapshot:
    """Reads a run folder in its present state."""
    files = sorted(run.glob("trials/*/progress.jsonl"))
    reports = {file.parent.name: [json.loads(line) for line in whole_lines(file)] for file in files}
    return Snapshot(reports, whole_lines(run / "decisions.jsonl"))


# Running ------------------------------------------------------------------------------------------


def start(words: list[str]) -> subprocess.Popen[bytes]:
    """``python -m rltune`` with these words, in a session of its own."""
    command = [sys.executable, "-m", "rltune", *words, "--quiet"]
    return subprocess.Popen(command, start_new_session=True)


def finish(words: list[str]) -> float:
    """Runs rltune to its end; the seconds it took.

    Raises:
        CalledProcessError: it failed.
    """
    started = time.perf_counter()
    process = start(words)
    code = process.wait()
    if code:
        raise subprocess.CalledProcessError(code, words)
    return time.perf_counter() - started


def kill(words: list[str], run: Path, is_time: Callable[[], bool]) -> tuple[float, Kill]:
    """Runs rltune until it is time, and kills it; the seconds it ran.

    Raises:
        CalledProcessError: it ended by itself before.
    """
    started = time.perf_counter()
    process = start(words)
    while not is_time():
        if (code := process.poll()) is not None:
            raise subprocess.CalledProcessError(code, words)
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    seconds = time.perf_counter() - started
    _, left = psutil.wait_procs(children, timeout=PATIENCE)
    return seconds, Kill(snapshot(run), [name_of(process) for process in left if lives(process)])


def lives(process: psutil.Process) -> bool:
    """Whether a process runs and is not a zombie."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def name_of(process: psutil.Process) -> str:
    """Returns the command of a process, for a message."""
    try:
        return " ".join(process.cmdline())[:60]
    except psutil.NoSuchProcess:
        return "?"


def once_past(run: Path, env_steps: int, delay: float) -> Callable[[], bool]:
    """Tells whether a run is ``delay`` seconds past that many environment steps of all trials."""
    passed: list[float] = []

    def is_time() -> bool:
        if not passed and snapshot(run).env_steps >= env_steps:
            passed.append(time.perf_counter())
        return bool(passed) and time.perf_counter() - passed[0] >= delay

    return is_time


def uninterrupted(options: argparse.Namespace, storage: Path) -> Outcome:
    """Runs the sweep from start to end in one process."""
    seconds = finish(request(options, storage, "whole"))
    return Outcome(seconds, [], snapshot(storage / "whole"))


def interrupted(options: argparse.Namespace, storage: Path) -> Outcome:
    """Runs the same sweep with kills at random moments, one in each third of its steps."""
    rng = np.random.default_rng(options.seed)
    run, words, total = storage / "killed", request(options, storage, "killed"), 0.0
    kills = []
    for third in range(KILLS):
        share = LAST_KILL * (third + rng.random()) / KILLS
        moment = once_past(run, int(share * options.trials * options.steps), rng.random())
        seconds, killed = kill(words, run, moment)
        total += seconds
        kills.append(killed)
        words = ["resume", str(run)]
    return Outcome(total + finish(words), kills, snapshot(run))


def request(options: argparse.Namespace, storage: Path, name: str) -> list[str]:
    """The command line of the sweep, without ``python -m rltune``."""
    named = {
        "scheduler": options.scheduler,
        "trials": options.trials,
        "steps": options.steps,
        "perturb-every": options.perturb_every,
        "seed": options.seed,
        "target": "inf",
        "storage": storage,
        "name": name,
    }
    return ["ppo", "cartpole", *(f"--{option}={value}" for option, value in named.items())]


# Checking -----------------------------------------------------------------------------------------


def lost(before: Snapshot, after: Snapshot) -> dict[str, int]:
    """Environment steps that each trial had reported at a kill and took again afterwards.

    Args:
        after: the run at the next kill, or at its end.
    """
    return {
        trial: rows[-1]["env_steps"] - resumed_at(rows, after.reports.get(trial, []))
        for trial, rows in before.reports.items()
        if rows
    }


def resumed_at(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> int:
    """The clock a trial went on from: where its first new row began, or its last old one ended."""
    old = {row["wall_seconds"] for row in before}
    kept = [row["env_steps"] for row in after if row["wall_seconds"] in old]
    for row in after:
        if row["wall_seconds"] not in old:
            return int(row["env_steps"] - row["env_steps_this_iter"])
    return int(max(kept, default=0))


def allowed_loss(end: Snapshot, perturb_every: int) -> int:
    """An interval in environment steps, rounded up to whole reports."""
    report = max(row["env_steps_this_iter"] for rows in end.reports.values() for row in rows)
    return int(-(-perturb_every // report) * report)


def losses(outcome: Outcome) -> list[dict[str, int]]:
    """Returns the cost of each kill for each trial."""
    after = [*(killed.before for killed in outcome.kills[1:]), outcome.end]
    return [lost(killed.before, next_) for killed, next_ in zip(outcome.kills, after, strict=True)]


def checks(whole: Outcome, killed: Outcome, options: argparse.Namespace) -> dict[str, bool]:
    """Returns every condition that must hold, and whether it does."""
    clocks = {name: [row["env_steps"] for row in rows] for name, rows in killed.end.reports.items()}
    held = [one.before.decisions for one in killed.kills]
    left = [name for one in killed.kills for name in one.left]
    most = max((steps for one in losses(killed) for steps in one.values()), default=0)
    allowed = allowed_loss(killed.end, options.perturb_every)
    ratio = killed.seconds / whole.seconds
    return {
        f"took {ratio:.2f} times as long, at most {ALLOWED_RATIO}": ratio <= ALLOWED_RATIO,
        "same trials": killed.end.reports.keys() == whole.end.reports.keys(),
        f"every trial reached {options.steps:,} steps": all(
            steps and steps[-1] >= options.steps for steps in clocks.values()
        ),
        "steps rise in every trial": all(
            bool(np.all(np.diff(steps) > 0)) for steps in clocks.values()
        ),
        f"all {len(held[-1])} decisions of before kept": all(
            killed.end.decisions[: len(lines)] == lines for lines in held
        ),
        f"at most {most:,} steps of a trial lost, allowed {allowed:,}": most <= allowed,
        f"left running after a kill: {', '.join(left) or 'nothing'}": not left,
    }


def report(whole: Outcome, killed: Outcome, options: argparse.Namespace) -> bool:
    """Prints tables and checks in Markdown; whether every check holds."""
    print("| run | kills | wall seconds | decisions |\n|---|---|---|---|")
    for name, run in (("uninterrupted", whole), ("killed", killed)):
        print(f"| {name} | {len(run.kills)} | {run.seconds:.1f} | {len(run.end.decisions)} |")
    print("\n| kill at env steps | decisions | lost env steps by trial |\n|---|---|---|")
    for one, cost in zip(killed.kills, losses(killed), strict=True):
        steps = ", ".join(f"{trial} {count:,}" for trial, count in cost.items())
        print(f"| {one.before.env_steps:,} | {len(one.before.decisions)} | {steps} |")
    print()
    held = checks(whole, killed, options)
    for text, holds in held.items():
        print(f"- {'ok' if holds else 'FAILED'}: {text}")
    return all(held.values())


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scheduler", default="pb2", help="pb2, pbt, asha or fifo")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--steps", type=int, default=300_000, help="environment steps a trial")
    parser.add_argument("--perturb-every", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the sweep and of the moments")
    parser.add_argument("--storage", type=Path, help="keeps both run folders here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = options.storage or Path(folder)
        whole, killed = uninterrupted(options, storage), interrupted(options, storage)
    sys.exit(0 if report(whole, killed, options) else 1)


if __name__ == "__main__":
    main()
