"""Measures what watching a sweep costs: the run folder's files, TensorBoard, other callbacks.

    python scripts/bench_callbacks.py                  # every side but the last, three rounds
    python scripts/bench_callbacks.py --sides none tensorboard --rounds 5

Each side is the same short sweep of PPO on CartPole, which reports often, with other callbacks
switched on. The sides take turns, in an order that is turned around in each round. Measured are
the seconds that each callback takes, in the process that drives the sweep, beside the seconds from
the first report to the end and the processor time of that process. Prints a table of
docs/benchmarks.md. A new side is a row of SIDES; the last one needs rltune[aim,comet].
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from rltune.callbacks.base import Callback, Event, TrialReported
from rltune.callbacks.loggers import callback
from rltune.callbacks.loggers.callback import LoggerCallback
from rltune.callbacks.loggers.trackers import TRACKERS
from rltune.callbacks.run_writer import RunWriter
from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.cli.live import LiveWatcher, Watcher
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec
from rltune.sweeps import runner


@dataclass(frozen=True)
class Side:
    """What is switched on in a sweep.

    Attributes:
        tensorboard: whether TensorBoard's files are written.
        log_all: whether they hold every number of a result.
        log: trackers that the sweep is logged with, on this machine.
        others: makes further callbacks, which are entered around the sweep.
    """

    tensorboard: bool = True
    log_all: bool = False
    log: tuple[str, ...] = ()
    others: Callable[[], Sequence[Watcher]] = tuple


def live_table() -> Sequence[Watcher]:
    """The live table, in a terminal that nobody looks at."""
    screen = Path(os.devnull).open("w")  # noqa: SIM115
    return [LiveWatcher(Console(file=screen, force_terminal=True, width=120, height=40))]


SIDES = {
    "none": Side(tensorboard=False),
    "tensorboard": Side(),
    "tensorboard, --log-all": Side(log_all=True),
    "tensorboard, live table": Side(others=live_table),
    "tensorboard, --log wandb,mlflow": Side(log=("wandb", "mlflow")),
    "tensorboard, every --log": Side(log=tuple(TRACKERS)),
}


class Timed(Callback):
    """Passes events on to a callback, and adds up the seconds that it takes."""

    seconds = 0.0
    reports = 0
    at_end = elsewhere = 0.0
    first = last = 0.0

    def __init__(self, callback: Callback) -> None:
        self.callback = callback

    def on_event(self, event: Event) -> None:
        """Times what the callback does with an event."""
        started = time.perf_counter()
        self.callback.on_event(event)
        self.last = time.perf_counter()
        self.seconds += self.last - started
        if isinstance(event, TrialReported):
            self.first = self.first or started
            self.reports += 1

    def close(self) -> None:
        """Times the closing of the callback, which may wait for a process of its own."""
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        self.callback.close()
        self.last = time.perf_counter()
        self.seconds += self.last - started
        self.at_end = self.last - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.elsewhere = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def one(side: Side, steps: int) -> None:
    """Runs a sweep in this process and prints what its callbacks took."""
    timed: dict[str, Timed] = {}

    def wrapped(callback: Callback) -> Timed:
        logs = isinstance(callback, LoggerCallback)
        name = callback.process.name if logs else type(callback).__name__
        return timed.setdefault(name, Timed(callback))

    def checked(loggers: Sequence[LoggerCallback]) -> list[Timed]:
        started = time.perf_counter()
        found = [wrapped(each) for each in callback.checked(loggers)]
        for each in found:  # the sweep waits for the slowest of them
            each.seconds += (time.perf_counter() - started) / len(found)
        return found

    def tensorboard(spec: RunSpec, folder: RunFolder) -> Callback:
        return wrapped(TensorBoardWriter(spec, folder)) if side.tensorboard else Callback()

    places: Any = runner
    places.RunWriter = lambda spec, folder: wrapped(RunWriter(spec, folder))
    places.TensorBoardWriter = tensorboard
    places.checked = checked
    with tempfile.TemporaryDirectory() as storage:
        os.chdir(storage)  # trackers write into the current folder
        os.environ |= {"WANDB_MODE": "offline", "COMET_START_ONLINE": "0"}
        spec = make_spec(
            "ppo",
            "cartpole",
            **{"scheduler": "pb2", "trials": 4, "steps": steps, "target": float("inf")},
            episodes=5,
            selection_episodes=1,
            log=side.log,
            log_all=side.log_all,
            storage=storage,
            name="a",
        )
        with ExitStack() as stack:  # a table that is not closed takes what is printed
            entered = [stack.enter_context(watch) for watch in side.others()]
            runner.run(spec, [wrapped(watch) for watch in entered])
    writer = timed["RunWriter"]
    wall = max(each.last for each in timed.values()) - writer.first
    print(
        json.dumps(
            {
                "reports": writer.reports,
                "wall": wall,
                "cpu": time.process_time(),
                "elsewhere": sum(each.elsewhere for each in timed.values()),
                "at_end": sum(each.at_end for each in timed.values()),
                "callbacks": {name: each.seconds for name, each in timed.items()},
            }
        )
    )


def measured(name: str, steps: int) -> dict[str, Any]:
    """What one sweep of a side prints, in a process of its own."""
    words = [sys.executable, __file__, "--one", name, "--steps", str(steps)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def row(name: str, found: Sequence[dict[str, Any]]) -> str:
    """A line of the table: medians over the rounds, and the range of the share."""
    spent = [sum(each["callbacks"].values()) for each in found]
    shares = [100 * seconds / each["wall"] for seconds, each in zip(spent, found, strict=True)]
    a_report = [
        1_000 * seconds / each["reports"] for seconds, each in zip(spent, found, strict=True)
    ]
    ends = [each["at_end"] for each in found]
    others = [
        100 * (seconds - end) / each["wall"]
        for seconds, end, each in zip(spent, ends, found, strict=True)
    ]
    parts = ", ".join(
        f"{callback} {median(1_000 * e['callbacks'][callback] / e['reports'] for e in found):.2f}"
        for callback in found[0]["callbacks"]
    )
    return (
        f"| {name} | {median(each['wall'] for each in found):.1f} | "
        f"{median(each['cpu'] for each in found):.1f} | "
        f"{median(each['elsewhere'] for each in found):.1f} | {median(a_report):.2f} ({parts}) | "
        f"{median(shares):.2f} % ({min(shares):.2f} to {max(shares):.2f}) | "
        f"{median(ends):.1f} | {median(others):.1f} % |"
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sides", nargs="+", default=[*SIDES][:-1], choices=[*SIDES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--out", type=Path, help="JSON lines, one a sweep.")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(SIDES[options.one], options.steps)
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in options.sides}
    for number in range(options.rounds):
        for name in options.sides if number % 2 == 0 else reversed(options.sides):
            found[name].append(measured(name, options.steps))
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps({"side": name, **found[name][-1]}) + "\n")
    print(
        "| on | seconds | the driver's processor | the trackers' processors | ms a report | "
        "share of the time | at the end | share without that |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in options.sides:
        print(row(name, found[name]))


if __name__ == "__main__":
    main()
