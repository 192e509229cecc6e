"""Measures trials that train as one batch, beside the same trials one by one.

    python scripts/bench_batch.py engine --out batch.jsonl               # needs the `bench` extra
    python scripts/bench_batch.py engine --tasks ppo dqn --gpu --members 1 16 64 256
    python scripts/bench_batch.py engine --processes 2                   # on two cores at once
    python scripts/bench_batch.py --out batch.jsonl --report             # tables alone

``engine`` counts environment steps a second of all members together, at RL Zoo3's settings. Each
side is a process with one torch thread: a batch of each size, the smallest loop of stacked tensors
that learns the same (ppo alone, ``scripts/bare_batch.py``), and a single trial of rltune and of
Stable-Baselines3 on the CPU. They take turns, while the others wait: all of them see the same
machine. Printed are ratios to rltune's single trial within a round (median, and the lowest and
highest round), the peak memory of the process or on the GPU, the seconds that the capture of CUDA
graphs took, and the milliseconds of an exploit: a quarter of the members is copied onto another
one, and all hyperparameters are written and read back.

A measurement that is in the file already is not made again, so that an interrupted benchmark
continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from bench_engine import TASKS as SINGLE_TASKS
from bench_engine import Task, rltune_side, sb3_side

SHOWN = {
    "single": "rltune, one trial",
    "sb3": "Stable-Baselines3",
    "bare": "bare tensors",
    "batch": "batch",
}
#: Environment steps between two looks at the clock, of sides that train one trial.
PIECES = {"ppo": 2_048, "dqn": 1_024, "sac": 256}
#: How often an exploit is timed.
EXPLOITS = 7


def _minibatches(task: Task, size: int) -> Task:
    return replace(task, settings={**task.settings, "minibatch_size": size})


TASKS = {
    "ppo": SINGLE_TASKS["ppo"],
    "ppo-64": _minibatches(SINGLE_TASKS["ppo"], 64),
    "dqn": SINGLE_TASKS["dqn"],
    "sac": SINGLE_TASKS["sac"],
}

# The process of a side ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """What a side trains.

    Attributes:
        run: trains for a while and returns the environment steps taken, of all members together.
        group: rltune's group of members, or None.
    """

    run: Callable[[], int]
    group: Any = None


def make(task: Task, side: str, members: int, gpu: bool) -> Trained:
    """Makes what a side trains."""
    import torch

    device = torch.device("cuda" if gpu else "cpu")
    if side == "batch":
        return batch_side(task, members, device)
    if side == "bare":
        from bare_batch import PPO

        return Trained(PPO(task.env, task.settings, members, device))
    single = (rltune_side if side == "single" else sb3_side)(task, False)
    return Trained(lambda: single(PIECES[task.algo]))


def batch_side(task: Task, members: int, device: Any) -> Trained:
    """Makes a group of members, as trials with ``--batch`` train in."""
    from rltune import algorithms
    from rltune.algorithms.groups import make_group

    def config(seed: int) -> Any:
        made = getattr(algorithms, task.algo.upper()).get_default_config()
        made.update_from_dict({**task.settings, "env": task.env, "seed": seed})
        made.validate()
        return made

    group, _ = make_group([config(1_000 * n) for n in range(members)], device)

    def run() -> int:
        before = group.env_steps.sum()
        group.round()
        group.sampler.take_episodes()
        return int(group.env_steps.sum() - before)

    return Trained(run, group)


def serve(name: str, side: str, members: int, core: int, gpu: bool) -> None:
    """Runs one side, answering each line of stdin: ``first``, ``turn SECONDS`` and ``exploit``."""
    if side == "single":
        from rltune.sweeps import surroundings

        # isort: split
        import ray

        os.environ.update(surroundings.VARIABLES)  # Ray is as quiet as in a sweep
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    on_gpu = gpu and side in ("batch", "bare")
    trained = make(TASKS[name], side, members, on_gpu)
    answer({"device": torch.cuda.get_device_name() if on_gpu else "cpu"})
    # After the start: processes that start together would have one core between them.
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "first":
            answer(first(trained, TASKS[name].first * members))
        elif word == "turn":
            answer(turn(trained, float(rest[0]), on_gpu))
        else:
            answer({"exploit_ms": exploit_ms(trained.group, on_gpu)})
    os._exit(0)  # Ray's processes go by themselves


def answer(values: dict[str, Any]) -> None:
    """Prints the answer to a line."""
    print("=" + json.dumps(values), flush=True)


def first(trained: Trained, env_steps: int) -> dict[str, Any]:
    """Trains until everything has run once, and tells what captures took."""
    began = time.perf_counter()
    while env_steps > 0:
        env_steps -= trained.run()
    trained.run()
    seconds = time.perf_counter() - began
    captured = 0.0
    if trained.group:
        from rltune.engine.population.captured import Captured

        parts = vars(trained.group.learner).values()
        captured = sum(part.seconds for part in parts if isinstance(part, Captured))
    return {"first": seconds, "capture": captured}


def turn(trained: Trained, seconds: float, on_gpu: bool) -> dict[str, Any]:
    """Trains for some seconds."""
    import torch

    taken, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        taken += trained.run()
    if on_gpu:
        torch.cuda.synchronize()
    speed = taken / (time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    held = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else 0.0
    return {"speed": speed, "peak": peak, "held": held}


def exploit_ms(group: Any, on_gpu: bool) -> float:
    """Milliseconds until a quarter of the members is copied and all settings are read back."""
    import torch

    learner, quarter = group.learner, len(group) // 4
    donors, clones = range(quarter), range(len(group) - quarter, len(group))
    values, times = learner.hyper.read(), []
    for _ in range(EXPLOITS):
        if on_gpu:
            torch.cuda.synchronize()
        values[:, clones] = values[:, donors]
        began = time.perf_counter()
        learner.copy_members(list(donors), list(clones))
        learner.hyper.write(values)
        if not np.array_equal(learner.hyper.read(), values):
            raise RuntimeError("a batch does not hold what was written")
        if on_gpu:
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times))


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
    for task in options.tasks:
        sides = ["single", "sb3", "bare", "batch"]
        if not task.startswith("ppo"):
            sides.remove("bare")
        if find_spec("stable_baselines3") is None:
            sides.remove("sb3")
        asked = Engine(
            task,
            options.members,
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


# Reporting ----------------------------------------------------------------------------------------


def write(out: Path | None, run: EngineRun) -> None:
    """Adds a measurement to the file, if there is one."""
    if out:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")


def read(out: Path | None) -> list[EngineRun]:
    """Reads the measurements of a file."""
    if not out or not out.exists():
        return []
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return [EngineRun(**{**line, "asked": Engine(**line["asked"])}) for line in lines]


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
    parser.add_argument("what", nargs="?", choices=("engine",))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--members", nargs="+", type=int, default=[1, 4, 16, 64, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each side, all turns")
    parser.add_argument("--processes", type=int, default=1, help="of each side at once")
    parser.add_argument("--core", type=int, default=0, help="the first that is used")
    parser.add_argument("--gpu", action="store_true", help="batches on the first GPU")
    parser.add_argument("--out", type=Path, help="file of measurements, one a line")
    parser.add_argument("--report", action="store_true", help="tables of what is in the file")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        task, side, members = options.serve
        serve(task, side, int(members), options.core, options.gpu)
    elif options.report:
        for run in read(options.out):
            print(engine_table(run))
    elif options.what == "engine":
        engine(options)
    else:
        parser.error("choose engine, or --report")


if __name__ == "__main__":
    main()
