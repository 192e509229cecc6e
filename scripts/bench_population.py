"""Compares tuning with PB2 and PBT of rltune and of stock Ray Tune.

    python scripts/bench_population.py --out population.jsonl             # every run, then tables
    python scripts/bench_population.py --out population.jsonl --report    # tables and plot alone

All sides tune the same algorithm class, ``rltune.algorithms.PPO``, so that the tuning is compared
and not the engine: rltune's sweep beside a ``tune.Tuner`` with Tune's own schedulers, with the same
starting points, seeds, steps, interval, quantile and space, two members at a time. Tune's PB2 takes
linear bounds of floats alone. Its PBT does not keep to bounds; the clamped side does, through
``custom_explore_fn``. Every member takes the same steps: a clone counts its own, though Tune gives
it its donor's clock.

Best-so-far is the highest ``episode_reward_mean`` that any member has reported after so many
environment steps a member; curves begin where every sweep has one. Shown are means over the seeds
with 95 % bootstrap intervals. A sweep that is in the file already is not run again, so that an
interrupted benchmark continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

#: Sides, each with the one that it is compared with.
SIDES = {
    "rltune-pb2": "stock-pb2",
    "stock-pb2": None,
    "rltune-pbt": "stock-pbt",
    "stock-pbt": None,
    "stock-pbt-clamped": "stock-pbt",
}
#: Trials at a time, one CPU and one torch thread each.
SLOTS = 2
#: Kinds of parameters that Tune's PB2 takes; rltune's takes all.
FLOATS = ("uniform", "log", "one_minus_log")
#: What a position on the unit interval may be off and still be on a bound.
ON_BOUND = 1e-6
#: Reports of a member in an interval, and points of a curve.
REPORTS = 5
QUARTERS = (0.25, 0.5, 0.75, 1.0)

#: A member's reports: environment steps that it has taken, and its return or None.
Curve = list[tuple[int, float | None]]


@dataclass(frozen=True)
class Task:
    """What a population works on: steps and interval count a member's environment steps."""

    env: str
    steps: int
    members: int
    perturb_every: int

    def request(self, scheduler: str, seed: int, storage: str) -> dict[str, Any]:
        """Returns the arguments of ``rltune.sweep`` for PPO on the environment."""
        return {
            "scheduler": scheduler,
            "searcher": "random",
            "trials": self.members,
            "steps": self.steps,
            "target": float("inf"),
            "concurrent": SLOTS,
            "seed": seed,
            "population": {"perturb_every": self.perturb_every},
            "settings": {"min_sample_timesteps_per_iteration": self.perturb_every // REPORTS},
            "storage": storage,
        }


@dataclass(frozen=True)
class Outcome:
    """One sweep.

    Attributes:
        curves: of each member.
        seconds: wall time to the end of training, the start of Ray included.
        on_bound: how many of the numbers that were proposed lie on a bound of their range.
        proposed: how many numbers were proposed; 0 on Tune's sides, which do not tell.
    """

    task: Task
    side: str
    seed: int
    curves: list[Curve]
    seconds: float
    exploits: int
    on_bound: int = 0
    proposed: int = 0

    @property
    def key(self) -> tuple[Task, str, int]:
        """Identifies a sweep among those of a file."""
        return self.task, self.side, self.seed

    @property
    def short(self) -> int:
        """Members that ended before their steps were taken: failed, or diverged."""
        done = sum(bool(curve) and curve[-1][0] >= self.task.steps for curve in self.curves)
        return self.task.members - done


# Running ------------------------------------------------------------------------------------------


def rltune_sweep(task: Task, scheduler: str, seed: int, storage: str) -> Outcome:
    """Runs a sweep of rltune."""
    import rltune
    from rltune.callbacks.base import Callback, EvaluationStarted

    class Clock(Callback):
        """Notes when training is over: what follows evaluates the best policy."""

        trained = 0.0

        def on_evaluation(self, event: EvaluationStarted) -> None:
            self.trained = time.perf_counter()

    clock, started = Clock(), time.perf_counter()
    request = task.request(scheduler, seed, storage)
    folder = rltune.sweep("ppo", task.env, callbacks=[clock], **request).folder
    curves = [
        cumulated(
            [(row.env_steps_this_iter, row.episode_reward_mean) for row in folder.reports(trial)]
        )
        for trial in folder.trials()
    ]
    exploits = [decision for decision in folder.decisions() if decision.kind == "exploit"]
    units = [
        parameter.to_unit(decision.requested[name])
        for decision in exploits
        for name, parameter in folder.spec.space.items()
        if parameter.kind in FLOATS
    ]
    return Outcome(
        task,
        f"rltune-{scheduler}",
        seed,
        curves,
        seconds=round(clock.trained - started, 2),
        exploits=len(exploits),
        on_bound=sum(min(unit, 1 - unit) < ON_BOUND for unit in units),
        proposed=len(units),
    )


def stock_sweep(task: Task, side: str, seed: int, storage: str) -> Outcome:
    """Runs a ``tune.Tuner`` with one of Tune's own schedulers."""
    from rltune import algorithms, schedulers, searchers
    from rltune.request.resolve import make_spec
    from rltune.searchers.history import History
    from rltune.sweeps import ray_session, room
    from rltune.tasks.rl import RLTask

    # isort: split
    from ray import tune
    from ray.tune.search import BasicVariantGenerator

    spec = make_spec("ppo", task.env, **task.request(side.split("-")[1], seed, storage))
    searcher = searchers.build(spec)
    points = [searchers.starting_point(spec, searcher, n, History()) for n in range(task.members)]
    searched = {*spec.space, "seed"}
    scheduler, reports = stock_scheduler(side, spec), Reports(task.steps)
    random.seed(seed)  # Tune's schedulers draw from the global generators
    np.random.seed(seed)  # noqa: NPY002
    started = time.perf_counter()
    rl = RLTask(spec)
    with ray_session.ray_session(rl, print):
        tune.Tuner(
            algorithms.PPO,
            param_space={
                **rl.config(schedulers.pauses(spec), room.cpus_of_a_process(rl)),
                **spec.settings,
                **{name: tune.choice([point[name] for point in points]) for name in searched},
            },
            tune_config=tune.TuneConfig(
                scheduler=scheduler,
                search_alg=BasicVariantGenerator(
                    [{name: point[name] for name in searched} for point in points]
                ),
                num_samples=task.members,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=storage, stop=reports, verbose=0),
        ).fit()
        seconds = round(time.perf_counter() - started, 2)
    curves = [cumulated(of_member) for of_member in reports.of.values()]
    return Outcome(task, side, seed, curves, seconds, scheduler._num_perturbations)


class Reports:
    """Tune's stop condition: notes what members report, and ends one that took its steps.

    One that takes none any more, because it diverged, is ended too.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.of: dict[str, list[tuple[int, float | None]]] = defaultdict(list)

    def __call__(self, trial: str, result: Mapping[str, Any]) -> bool:
        taken = int(result["env_steps_this_iter"])
        self.of[trial].append((taken, result.get("episode_reward_mean")))
        return taken == 0 or sum(steps for steps, _ in self.of[trial]) >= self.steps


def stock_scheduler(side: str, spec: Any) -> Any:
    """Tune's scheduler of a side, over the settings that rltune's would change."""
    from ray.tune.schedulers import PopulationBasedTraining
    from ray.tune.schedulers.pb2 import PB2

    from rltune.catalog.algorithms import algorithm

    space = algorithm(spec.algo).mutable(spec.space)
    common = {
        "time_attr": "env_steps",
        "metric": "episode_reward_mean",
        "mode": "max",
        "perturbation_interval": spec.budget.perturb_every,
        "quantile_fraction": spec.budget.quantile,
        "require_attrs": False,  # no return before the first episode has ended
        "log_config": False,
    }
    if side == "stock-pb2":
        floats = {name: p.domain() for name, p in space.items() if p.kind in FLOATS}
        return PB2(hyperparam_bounds=floats, **common)
    return PopulationBasedTraining(
        hyperparam_mutations={name: mutation(parameter) for name, parameter in space.items()},
        resample_probability=spec.budget.resample_probability,
        custom_explore_fn=clamp(space) if side == "stock-pbt-clamped" else None,
        **common,
    )


def mutation(parameter: Any) -> Any:
    """Returns a parameter for resampling by Tune's PBT, which has no ``one_minus_log`` scale."""
    from ray import tune

    domain = parameter.domain()
    if parameter.kind in FLOATS:
        return (tune.loguniform if parameter.kind == "log" else tune.uniform)(*domain)
    if parameter.kind == "choice":
        return domain
    low, high = domain
    return [value for value in range(low, high + 1) if parameter.contains(value)]


def clamp(space: Mapping[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Clips a step to the bounds of its domain."""

    def clamped(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, **{name: p.nearest(config[name]) for name, p in space.items()}}

    return clamped


def cumulated(reports: list[tuple[int, float | None]]) -> Curve:
    """Steps of each report added up."""
    taken = np.cumsum([steps for steps, _ in reports]).tolist()
    return [(steps, score) for steps, (_, score) in zip(taken, reports, strict=True)]


def sweep(task: Task, side: str, seed: int) -> Outcome:
    """Runs one sweep in this process."""
    from rltune.sweeps import surroundings

    os.environ.update(surroundings.VARIABLES)  # Ray is as quiet as in a sweep
    warnings.simplefilter("ignore")  # Tune's PB2 fits without noise, and says so
    with tempfile.TemporaryDirectory() as storage:
        if side.startswith("rltune-"):
            return rltune_sweep(task, side.removeprefix("rltune-"), seed, storage)
        return stock_sweep(task, side, seed, storage)


def run_all(task: Task, options: argparse.Namespace) -> None:
    """Runs every sweep that the file lacks, rotating the order of the sides with the seed."""
    done = {outcome.key for outcome in read(options.out)}
    sides = list(options.sides)
    for seed in range(options.seeds):
        turn = seed % len(sides)
        for side in sides[turn:] + sides[:turn]:
            if (task, side, seed) in done:
                continue
            line = in_process(side, seed)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            outcome = parse(line)
            print(side, seed, f"{outcome.seconds} s, {outcome.exploits} exploits", flush=True)


def in_process(side: str, seed: int) -> str:
    """Runs one sweep in a fresh process, with its own state; returns its line of JSON."""
    words = [sys.executable, *sys.argv, "--one", side, str(seed)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


def parse(line: str) -> Outcome:
    """Reads a sweep from its line of JSON."""
    values = json.loads(line)
    return Outcome(**{**values, "task": Task(**values["task"])})


def read(out: Path) -> list[Outcome]:
    """Reads the sweeps of a file."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [parse(line) for line in lines]


# Reporting ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """The sweeps of a task, read at the same moments.

    Attributes:
        grid: environment steps a member, from where every sweep has a return.
        curves: by side and seed, the best return of any member so far at each of them.
    """

    task: Task
    sides: dict[str, dict[int, Outcome]]
    grid: np.ndarray
    curves: dict[str, dict[int, np.ndarray]]

    def stacked(self, side: str) -> np.ndarray:
        """The curves of a side, of shape ``(seeds, len(grid))``."""
        return np.array(list(self.curves[side].values()))


def measure(task: Task, outcomes: list[Outcome]) -> Measured:
    """Best-so-far curves of a task's sweeps."""
    sides = by_side(outcomes)
    begin = max(first_return(outcome) for outcome in outcomes)
    grid = np.arange(0, task.steps + 1, task.perturb_every // REPORTS)
    grid = grid[grid >= begin]
    curves = {
        side: {seed: best_so_far(run, grid) for seed, run in runs.items()}
        for side, runs in sides.items()
    }
    return Measured(task, sides, grid, curves)


def scored(outcome: Outcome) -> list[tuple[int, float]]:
    """The reports of all members that have a return."""
    return [(at, score) for curve in outcome.curves for at, score in curve if score is not None]


def first_return(outcome: Outcome) -> float:
    """Environment steps a member until the first return; inf where there is none at all."""
    return min((at for at, _ in scored(outcome)), default=np.inf)


def best_so_far(outcome: Outcome, grid: np.ndarray) -> np.ndarray:
    """The best return of any member at each point of the grid, which begins after the first one."""
    reports = scored(outcome)
    return np.array([max(score for at, score in reports if at <= point) for point in grid])


def by_side(outcomes: list[Outcome]) -> dict[str, dict[int, Outcome]]:
    """A task's sweeps by side and seed, sides in their own order."""
    sides = {side: {o.seed: o for o in outcomes if o.side == side} for side in SIDES}
    return {side: runs for side, runs in sides.items() if runs}


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean; NaN for fewer than two values."""
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
    return found.confidence_interval.low, found.confidence_interval.high


def shown(values: np.ndarray, sign: str = "") -> str:
    """A mean and its interval as text."""
    low, high = interval(values)
    band = f" [{low:{sign}.1f}, {high:{sign}.1f}]" if len(values) > 1 else ""
    return f"{values.mean():{sign}.1f}{band}"


def table(measured: Measured) -> str:
    """Markdown: best-so-far at quarters of the steps, the mean of each curve, time and exploits."""
    task, quarters = measured.task, " | ".join(f"{share:.0%}" for share in QUARTERS)
    title = (
        f"\nPPO on {task.env}, {task.members} members, {task.steps:,} steps each, an interval of "
        f"{task.perturb_every:,}: best return so far\n"
    )
    if not len(measured.grid):
        return f"{title}\nA sweep has no return at all: take more steps."
    header = f"| side | seeds | {quarters} | area | more than | seconds | exploits "
    header += "| on a bound | ended early |"
    rule = "|---" * (len(QUARTERS) + 8) + "|"
    return "\n".join([title, header, rule, *(row(measured, side) for side in measured.sides)])


def row(measured: Measured, side: str) -> str:
    """One line of a table. The area under a curve is given as its mean over the steps."""
    runs, curves = list(measured.sides[side].values()), measured.stacked(side)
    ends = [share * measured.task.steps for share in QUARTERS]
    proposed = sum(run.proposed for run in runs)
    columns = np.searchsorted(measured.grid, ends, side="right") - 1
    cells = [
        side,
        str(len(runs)),
        *(shown(curves[:, column]) if column >= 0 else "none yet" for column in columns),
        shown(curves.mean(axis=1)),
        difference(measured, side),
        f"{np.mean([run.seconds for run in runs]):.0f}",
        f"{np.mean([run.exploits for run in runs]):.1f}",
        f"{sum(run.on_bound for run in runs)} of {proposed}" if proposed else "",
        str(sum(run.short for run in runs)),
    ]
    return f"| {' | '.join(cells)} |"


def difference(measured: Measured, side: str) -> str:
    """The area that a side has more than the one it is compared with, paired by seed."""
    rival = SIDES[side] or ""
    ours, theirs = measured.curves[side], measured.curves.get(rival, {})
    more = [(ours[seed] - theirs[seed]).mean() for seed in sorted(ours.keys() & theirs.keys())]
    return f"{rival}: {shown(np.array(more), '+')}" if more else ""


def plot(tasks: list[Measured], file: Path) -> None:
    """The mean best return so far of each side with its interval, a panel a task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(tasks), 4.5), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axis, measured in zip(panels, tasks, strict=True):
        for side in measured.sides:
            curves = measured.stacked(side)
            band = np.array([interval(column) for column in curves.T]).reshape(-1, 2)
            style = "-" if side.startswith("rltune") else "--"
            axis.plot(measured.grid, curves.mean(axis=0), style, label=side)
            axis.fill_between(measured.grid, band[:, 0], band[:, 1], alpha=0.15)
        axis.set_title(f"PPO on {measured.task.env}, {measured.task.members} members")
        axis.set_xlabel("environment steps a member")
        axis.set_ylabel("best episode_reward_mean so far")
        axis.legend(fontsize="small")
    figure.savefig(file, dpi=110)


def report(out: Path, file: Path) -> None:
    """Prints a table for each task of a file, and draws the plot."""
    outcomes = read(out)
    tasks = dict.fromkeys(outcome.task for outcome in outcomes)
    measured = [measure(task, [o for o in outcomes if o.task == task]) for task in tasks]
    for one in measured:
        print(table(one))
    plot(measured, file)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--env", default="acrobot")
    parser.add_argument("--steps", type=int, default=60_000, help="environment steps a member")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--perturb-every", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--out", type=Path, default=Path("population.jsonl"))
    parser.add_argument("--plot", type=Path, default=Path("docs/population.png"))
    parser.add_argument("--report", action="store_true", help="tables and plot of what is there")
    parser.add_argument("--one", nargs=2, metavar=("SIDE", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    task = Task(options.env, options.steps, options.members, options.perturb_every)
    if options.one:
        side, seed = options.one
        print(json.dumps(asdict(sweep(task, side, int(seed)))))
        return
    if not options.report:
        run_all(task, options)
    report(options.out, options.plot)


if __name__ == "__main__":
    main()
