"""Measures trials that train as one batch, beside the same trials one by one.

    python scripts/bench_batch.py engine --out batch.jsonl               # needs the `bench` extra
    python scripts/bench_batch.py engine --tasks ppo dqn --gpu --members 1 16 64 256
    python scripts/bench_batch.py engine --processes 2                   # on two cores at once
    python scripts/bench_batch.py sweep --out batch.jsonl                # minutes on two cores
    python scripts/bench_batch.py sweep --env lunarlander --members 64 --gpu
    python scripts/bench_batch.py --out batch.jsonl --report             # tables alone

``engine`` counts environment steps a second of all members together, at RL Zoo3's settings. Each
side is a process with one torch thread: a batch of each size, the smallest loop of stacked tensors
that learns the same (ppo alone, ``scripts/bare_batch.py``), and a single trial of rltune and of
Stable-Baselines3 on the CPU. They take turns, while the others wait: all of them see the same
machine. Printed are ratios to rltune's single trial within a round (median, and the lowest and
highest round), the peak memory of the process or on the GPU, the seconds that the capture of CUDA
graphs took, and the milliseconds of an exploit: a quarter of the members is copied onto another
one, and all hyperparameters are written and read back.

``sweep`` takes the wall time of a population under PBT, from the call to the end of training: with
batches, trial by trial, and stock Ray Tune's PBT of stock RLlib (``scripts/batch_pbt.py``). One of
8 members takes about five minutes for all sides on two cores, most of it stock's.

A measurement that is in the file already is not made again, so that an interrupted benchmark
continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import batch_pbt
import numpy as np
from batch_pbt import Sweep, SweepRun
from batch_side import TASKS, serve

SHOWN = {
    "single": "rltune, one trial",
    "sb3": "Stable-Baselines3",
    "bare": "bare tensors",
    "batch": "batch",
}
#: Sizes of batches.
MEMBERS = [1, 4, 16, 64, 256]

# Measuring ----------------------------------------------------------------------------------------


class Ended(RuntimeError):
    """A side's process ended."""


class Side:
    """The processes of one side, one a core, seen from the parent. Their speeds are added up."""

    def __init__(self, task: str, side: str, members: int, options: argparse.Namespace) -> None:
        self.side, self.members = side, members
        words = [sys.executable, __file__, "engine", "--serve", task, side, str(members)]
        words += ["--gpu"] if options.gpu else []
        self._processes = [
            subprocess.Popen(
                [*words, "--core", str(options.core + number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(options.processes)
        ]
        self.row: dict[str, Any] = {"side": side, "members": members, "speeds": []}

    def begin(self) -> None:
        """Waits until they have started."""
        self.row["device"] = self._read()[0]["device"]

    def first(self) -> None:
        """Lets them train until everything has run once."""
        answers = self._ask("first")
        self.row |= {key: max(each[key] for each in answers) for key in ("first", "capture")}

    def turn(self, seconds: float) -> None:
        """Lets them train for some seconds."""
        answers = self._ask(f"turn {seconds}")
        self.row["speeds"].append(sum(each["speed"] for each in answers))
        self.row |= {key: sum(each[key] for each in answers) for key in ("peak", "held")}

    def exploit(self) -> None:
        """Lets them exploit."""
        if self.side == "batch" and self.members >= 4:
            self.row |= self._ask("exploit")[0]

    def _ask(self, line: str) -> list[dict[str, Any]]:
        for process in self._processes:
            assert process.stdin
            print(line, file=process.stdin, flush=True)
        return self._read()

    def _read(self) -> list[dict[str, Any]]:
        return [self._answer(process) for process in self._processes]

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("="):
                values: dict[str, Any] = json.loads(line[1:])
                return values
        raise Ended(f"{self.side} {self.members} ended")

    def end(self) -> None:
        """Ends them."""
        for process in self._processes:
            assert process.stdin
            process.stdin.close()
        for process in self._processes:
            process.wait()


@dataclass(frozen=True)
class Engine:
    """What is measured in one go.

    Attributes:
        members: of each batch.
        seconds: of all turns of a side together.
        processes: of each side, at the same time.
    """

    task: str
    members: list[int]
    sides: list[str]
    rounds: int
    seconds: float
    processes: int
    gpu: bool


@dataclass(frozen=True)
class EngineRun:
    """A measurement.

    Attributes:
        rows: of each side.
        load: of the machine, over a minute, before it and after it.
        cores: of the machine.
    """

    asked: Engine
    rows: list[dict[str, Any]]
    load: tuple[float, float]
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)


def measure(asked: Engine, options: argparse.Namespace) -> EngineRun:
    """Runs all sides of a task in turns. One that ends early is left out, and said."""
    before = os.getloadavg()[0]
    sides: list[Side] = []
    for side in asked.sides:
        for members in asked.members if side in ("batch", "bare") else [1]:
            sides.append(Side(asked.task, side, members, options))
            if not asked.gpu:  # a machine with a GPU has cores to start them all at once
                sides = sides[:-1] + each(sides[-1:], Side.begin)
    if asked.gpu:
        sides = each(sides, Side.begin)
    sides = each(sides, Side.first)
    for _ in range(asked.rounds):
        sides = each(sides, lambda side: side.turn(asked.seconds / asked.rounds))
    sides = each(sides, Side.exploit)
    for made in sides:
        made.end()
    return EngineRun(asked, [side.row for side in sides], (before, os.getloadavg()[0]))


def each(sides: list[Side], do: Callable[[Side], Any]) -> list[Side]:
    """Does something with one side after the other, and returns those whose processes live."""
    living = []
    for side in sides:
        try:
            do(side)
            living.append(side)
        except (Ended, BrokenPipeError) as error:
            print(f"left out: {error}", flush=True)
    return living


def engine(options: argparse.Namespace) -> None:
    """Measures every task that the file lacks."""
    done = [run.asked for run in read(options.out)]
    options.processes = options.processes or 1
    for task in options.tasks:
        sides = ["single", "sb3", "bare", "batch"]
        if not task.startswith("ppo"):
            sides.remove("bare")
        if find_spec("stable_baselines3") is None:
            sides.remove("sb3")
        asked = Engine(
            task,
            options.members or MEMBERS,
            sides,
            options.rounds,
            options.seconds,
            options.processes,
            options.gpu,
        )
        if asked in done:
            continue
        run = measure(asked, options)
        write(options.out, run)
        print(engine_table(run), flush=True)


def sweep(options: argparse.Namespace) -> None:
    """Runs every sweep that the file lacks, each in a fresh process, and prints tables."""
    done = {run.asked: run for run in read(options.out) if isinstance(run, SweepRun)}
    slots = options.processes or 2
    steps, every = batch_pbt.STEPS[options.env]
    for members in options.members or [8]:
        runs = []
        size = options.batch or ("auto" if options.gpu else str(-(-members // slots)))
        common = (options.env, members, options.steps or steps, options.perturb_every or every)
        for seed in range(options.seeds):
            for side in options.sides:
                asked = Sweep(side, *common, size, slots, options.gpu, seed)
                if asked not in done:
                    words = [sys.executable, __file__, "sweep", "--one", json.dumps(asdict(asked))]
                    ran = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
                    run = parse(json.loads(ran.stdout.strip().splitlines()[-1]))
                    assert isinstance(run, SweepRun)
                    write(options.out, run)
                    done[asked] = run
                runs.append(done[asked])
        print(batch_pbt.table(runs), flush=True)


# Reporting ----------------------------------------------------------------------------------------


def write(out: Path | None, run: EngineRun | SweepRun) -> None:
    """Adds a measurement to the file, if there is one."""
    if out:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")


def read(out: Path | None) -> list[EngineRun | SweepRun]:
    """Reads the measurements of a file."""
    if not out or not out.exists():
        return []
    return [parse(json.loads(line)) for line in out.read_text(encoding="utf-8").splitlines()]


def parse(line: dict[str, Any]) -> EngineRun | SweepRun:
    """Reads a measurement from its line of JSON."""
    if "rows" in line:
        return EngineRun(**{**line, "asked": Engine(**line["asked"])})
    return SweepRun(**{**line, "asked": Sweep(**line["asked"])})


def report(runs: list[EngineRun | SweepRun]) -> None:
    """Prints the tables of measurements."""
    populations: dict[Sweep, list[SweepRun]] = {}
    for run in runs:
        if isinstance(run, EngineRun):
            print(engine_table(run))
        else:
            populations.setdefault(replace(run.asked, side="", seed=0), []).append(run)
    for its in populations.values():
        print(batch_pbt.table(its))


def engine_table(run: EngineRun) -> str:
    """A measurement as a table in Markdown."""
    asked = run.asked
    task = TASKS[asked.task]
    devices = sorted({row["device"] for row in run.rows} - {"cpu"}) or ["CPU"]
    cores = f"{asked.processes} processes on {run.cores} cores" if asked.processes > 1 else ""
    title = ", ".join(
        filter(
            None,
            [
                f"{task.algo.upper()} on {task.env}",
                f"minibatches of {task.settings['minibatch_size']}" if task.algo == "ppo" else "",
                *devices,
                cores,
                f"{asked.rounds} turns of {asked.seconds / asked.rounds:.1f} s",
                f"load {run.load[0]:.1f} before and {run.load[1]:.1f} after",
            ],
        )
    )
    head = "| | members | env steps/s | x one trial | peak memory | capture | exploit |"
    single = next((row["speeds"] for row in run.rows if row["side"] == "single"), None)
    rows = [engine_row(row, single) for row in run.rows]
    return "\n".join(["", title, "", head, "|---" * 7 + "|", *rows])


def engine_row(row: dict[str, Any], single: list[float] | None) -> str:
    """One side's line."""
    speeds, ratio = np.array(row["speeds"]), ""
    if single and row["side"] != "single":
        ratios = speeds / np.array(single)
        ratio = f"{np.median(ratios):.2f} [{ratios.min():.2f}, {ratios.max():.2f}]"
    cells = [
        SHOWN[row["side"]],
        str(row["members"]),
        f"{np.median(speeds):,.0f}",
        ratio,
        f"{row['held']:,.0f} MB of the GPU" if row["held"] else f"{row['peak']:,.0f} MB",
        f"{row['capture']:.1f} s" if row["capture"] else "",
        f"{row['exploit_ms']:.2f} ms" if "exploit_ms" in row else "",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", nargs="?", choices=("engine", "sweep"))
    parser.add_argument("--members", nargs="+", type=int, help="1 4 16 64 256; of a sweep 8")
    parser.add_argument("--processes", type=int, help="of each side at once: 1; of a sweep 2")
    parser.add_argument("--gpu", action="store_true", help="batches on the first GPU")
    parser.add_argument("--out", type=Path, help="file of measurements, one a line")
    parser.add_argument("--report", action="store_true", help="tables of what is in the file")
    engines = parser.add_argument_group("engine")
    engines.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    engines.add_argument("--rounds", type=int, default=5)
    engines.add_argument("--seconds", type=float, default=20.0, help="of each side, all turns")
    engines.add_argument("--core", type=int, default=0, help="the first that is used")
    engines.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    sweeps = parser.add_argument_group("sweep")
    sweeps.add_argument("--env", choices=batch_pbt.STEPS, default="cartpole")
    sweeps.add_argument("--steps", type=int, help="environment steps of a member")
    sweeps.add_argument("--perturb-every", type=int, help="environment steps of an interval")
    sweeps.add_argument("--batch", help="members in a batch: all of a process, or auto on a GPU")
    sweeps.add_argument("--seeds", type=int, default=1)
    sweeps.add_argument(
        "--sides", nargs="+", choices=batch_pbt.SIDES, default=list(batch_pbt.SIDES)
    )
    sweeps.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        task, side, members = options.serve
        serve(task, side, int(members), options.core, options.gpu)
    elif options.one:
        print(json.dumps(asdict(batch_pbt.run(Sweep(**options.one)))))
    elif options.report:
        report(read(options.out))
    elif options.what:
        {"engine": engine, "sweep": sweep}[options.what](options)
    else:
        parser.error("choose engine or sweep, or --report")


if __name__ == "__main__":
    main()
