"""Compares schedulers and searchers at equal environment steps, on curves instead of training.

Every method may spend the steps of 16 whole trials. What counts is the true score of the trial that
looks best so far, over the steps that were spent: without the noise of its report, or, of measured
curves, the mean over the seeds that its settings were run on. 0 is the worst score, 1 the best of
the table. Prints the tables of docs/methods.md: one for each problem, and one of all, in which
Tukey's range test, paired by repetition, says which are level with the leader and which are worse.

    pip install -e '.[bench,optuna]' && python scripts/bench_methods.py

`--out FILE` keeps each repetition as a line of JSON and does not run again what the file has, so
that the hours that it takes can be divided. `--curves FILE` adds measured curves of PPO on Atari: a
CSV file in the form of those that can be extracted from HPO-RL-Bench (Shala et al. 2023), a row for
each training run with the columns env, kind ("constant", or "schedule": other settings in each
third of the run), log10_lr, gamma, clip, seed and returns (numbers separated by spaces).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import rltune
from rltune import catalog
from rltune.metric import RETURN
from rltune.races.outcome import ranked
from rltune.schedulers import SCHEDULERS
from rltune.searchers import READY, SEARCHERS
from rltune.searchers.grid import grid
from rltune.simulator import Curves, GainCurves, ScoreCurves, Segment, Table
from rltune.space import Space, space_of
from rltune.statistics import interval

#: Whole trials that a method may spend; trials that it may start; trials at a time.
WORTH, MOST, SLOTS = 16, 128, 4
#: Points of a curve over the steps that were spent.
POINTS = 48


@dataclass(frozen=True)
class Problem:
    """What is tuned.

    Attributes:
        curves: makes the curves of a repetition.
        space: as in a preset.
        steps: environment steps of a trial; interval: between two decisions about it.
        noise: standard deviation of a report.
        synchronous: whether members of a population wait for each other.
        constant: whether the curves know nothing of settings that change: no population is run.
    """

    curves: Callable[[], Curves]
    space: Mapping[str, Any]
    steps: int = 8_100
    interval: int = 900
    noise: float = 0.02
    synchronous: bool = False
    constant: bool = False


# Formulas ---------------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {
    "lr": {"log": [1e-6, 1e-1]},
    "gamma": {"one_minus_log": [0.8, 0.9999]},
    "clip": {"uniform": [0.05, 0.5]},
    "act": {"choice": ["relu", "tanh", "gelu"]},
}
USELESS = {f"useless_{number}": {"uniform": [0.0, 1.0]} for number in range(6)}


def height(settings: Mapping[str, Any], lr: float, gamma: float) -> float:
    """A bump whose top of 1 is at these rates, on the scale of each setting."""
    away = ((math.log10(settings["lr"]) - math.log10(lr)) / 1.0) ** 2
    away += ((math.log10(1 - settings["gamma"]) - math.log10(1 - gamma)) / 0.7) ** 2
    away += ((settings["clip"] - 0.2) / 0.25) ** 2
    return math.exp(-away / 2) * (1.0 if settings["act"] == "tanh" else 0.7)


def static(settings: Mapping[str, Any], env_steps: int) -> float:
    """Rises to the height of its settings; high learning rates rise faster."""
    pace = 1_500 * (settings["lr"] / 1e-3) ** -0.25
    return height(settings, 2e-3, 0.97) * (1 - math.exp(-env_steps / pace))


def drifting(settings: Mapping[str, Any], env_steps: int) -> float:
    """What a step adds: the optimum moves while a policy is trained."""
    share = min(1.0, env_steps / 8_100)
    return height(settings, 10 ** (-2 - 2.5 * share), 1 - 10 ** (-1 - 2 * share)) / 8_100


# Measured curves --------------------------------------------------------------------------------


class Measured:
    """Curves of a file: a trial follows the run of a seed that its own seed chooses.

    Weights are the settings of each third so far, and that seed, so that a clone continues what its
    donor has trained. Notes the mean over the seeds by trial and age.
    """

    def __init__(self, file: str, env: str, kind: str) -> None:
        self.runs, self.low, self.high = measured(file, env, kind)
        self.thirds = 3 if kind == "schedule" else 1
        self.lrs, self.gammas, self.clips = (
            sorted({point[part] for schedule in self.runs for point in schedule})
            for part in range(3)
        )
        self.true: dict[tuple[str, int], float] = {}

    def train(self, segment: Segment) -> tuple[Any, float]:
        """Looks the score up at the nearest settings of the table."""
        so_far, seed = segment.weights or ([], segment.settings["seed"])
        third = min(self.thirds - 1, segment.start * self.thirds // 99)
        schedule = [*so_far[:third], self._point(segment.settings)]
        whole = [*schedule, *[schedule[-1]] * (self.thirds - len(schedule))]
        runs = self.runs[tuple(map(tuple, whole))]
        at = (np.array([run[segment.stop - 1] for run in runs]) - self.low) / (self.high - self.low)
        self.true[segment.trial, segment.stop] = float(at.mean())
        return (schedule, seed), float(at[seed % len(at)])

    def _point(self, settings: Mapping[str, Any]) -> list[float]:
        given = math.log10(settings["lr"]), settings["gamma"], settings.get("clip", 0.0)
        known = self.lrs, self.gammas, self.clips
        return [
            min(values, key=lambda value: abs(value - one))
            for one, values in zip(given, known, strict=True)
        ]


class Landscape:
    """Curves of a landscape that ships: a trial follows the run of a seed that its own chooses."""

    def __init__(self, algo: str, env: str) -> None:
        self.table = Table.shipped(algo, env)
        self.runs = max(len(curves) for _, curves in self.table.measured())
        means = [np.mean([of.scores[-1] for of in curves]) for _, curves in self.table.measured()]
        self.low, self.high = min(means), max(means)
        self.true: dict[tuple[str, int], float] = {}

    def train(self, segment: Segment) -> tuple[Any, float]:
        """Looks the score up at the nearest settings of the table."""
        of_seeds = [
            (self.table({**segment.settings, "seed": seed}, segment.stop) - self.low)
            / (self.high - self.low)
            for seed in range(self.runs)
        ]
        self.true[segment.trial, segment.stop] = float(np.mean(of_seeds))
        return None, float(of_seeds[segment.settings["seed"] % self.runs])


@cache
def measured(
    file: str, env: str, kind: str
) -> tuple[dict[tuple[Any, ...], list[np.ndarray]], float, float]:
    """Training runs by the settings of each third, and the lowest and highest mean over seeds.

    A run that was cut short is left out.
    """
    runs: dict[tuple[Any, ...], list[np.ndarray]] = defaultdict(list)
    with (gzip.open if file.endswith(".gz") else open)(file, "rt", newline="") as opened:
        for row in csv.DictReader(opened):
            returns = np.array(row["returns"].split(), dtype=float)
            if not row["env"].startswith(env) or row["kind"] != kind or len(returns) < 99:
                continue
            parts = [json.loads(row[name]) for name in ("log10_lr", "gamma", "clip")]
            thirds = zip(
                *[part if isinstance(part, list) else [part] * 3 for part in parts], strict=True
            )
            points = [(float(lr), float(gamma), float(clip or 0)) for lr, gamma, clip in thirds]
            runs[tuple(points if kind == "schedule" else points[:1])].append(returns)
    means = [np.mean(of, axis=0) for of in runs.values()]
    return dict(runs), float(np.min(means)), float(np.max(means))


def problems(file: str | None) -> dict[str, Problem]:
    """Every problem by its name."""
    found = {
        "static optimum": Problem(lambda: ScoreCurves(static), SETTINGS),
        "noisy reports": Problem(lambda: ScoreCurves(static), SETTINGS, noise=0.15),
        "six useless settings": Problem(lambda: ScoreCurves(static), {**SETTINGS, **USELESS}),
        "drifting optimum": Problem(lambda: GainCurves(drifting), SETTINGS),
    }
    for algo, env in catalog.landscapes():
        preset = catalog.preset(algo, catalog.environment(env))
        steps = min(
            int(curve.env_steps[-1])
            for _, curves in Table.shipped(algo, env).measured()
            for curve in curves
        )
        found[f"{algo} {env}, landscape"] = Problem(
            partial(Landscape, algo, env),
            preset.space.to_dict(),
            steps,
            steps // 9,
            0.0,
            constant=True,
        )
    if file is None:
        return found
    gammas = [0.8, 0.9, 0.95, 0.98, 0.99, 1.0]
    constant = {"lr": {"log": [1e-6, 1e-1]}, "gamma": {"choice": gammas}}
    constant["clip"] = {"uniform": [0.2, 0.4]}
    changing = {"lr": {"log": [1e-5, 1e-3]}, "gamma": {"choice": gammas[2:5]}}
    for env in ("Pong", "Enduro"):
        found[f"PPO on {env}, measured"] = Problem(
            partial(Measured, file, env, "constant"), constant, 99, 11, 0.0, constant=True
        )
    found["PPO on Enduro, measured schedules"] = Problem(
        partial(Measured, file, "Enduro", "schedule"), changing, 99, 33, 0.0, synchronous=True
    )
    return found


# Methods ----------------------------------------------------------------------------------------

Method = tuple[str, str]
RANDOM: Method = ("fifo", "random")
#: Random search with four times the steps: what a better method saves. It is in no comparison.
MORE: Method = ("fifo", "random, 4 times the steps")
#: What is used together, where not every pair is asked for.
TOGETHER: list[Method] = [("asha", "tpe"), ("hyperband", "tpe"), ("bohb", "bohb")]


def methods(everything: bool) -> list[Method]:
    """Pairs of a scheduler and a searcher that are ready here, random search first."""
    searchers = [name for name, row in SEARCHERS.items() if row.state == READY]
    searchers.remove("random")
    races = [name for name, row in SCHEDULERS.items() if not row.population and name != "fifo"]
    populations = [name for name, row in SCHEDULERS.items() if row.population]
    pairs = [(race, "random") for race in races if race != "bohb"]
    pairs += [("fifo", name) for name in searchers if name != "bohb"]
    if everything:
        pairs = [("fifo", name) for name in searchers]
        pairs += list(product(races, ["random", *searchers]))
    else:
        pairs += [pair for pair in TOGETHER if pair[0] in races and pair[1] in searchers]
    return [RANDOM, MORE, *pairs, *[(name, "random") for name in populations]]


@dataclass(frozen=True)
class Task:
    """One repetition."""

    file: str | None
    problem: str
    method: Method
    seed: int


def from_anywhere(space: Mapping[str, Any], seed: int) -> Space:
    """A space whose defaults, with which most searchers begin, are drawn at random."""
    rng = np.random.default_rng([seed, 1])
    searched = space_of(space).space
    return Space({name: replace(p, default=p.sample(rng)) for name, p in searched.items()})


def run(task: Task) -> list[float]:
    """Returns the true score of what looks best, at each share of the steps."""
    problem = problems(task.file)[task.problem]
    scheduler, searcher = RANDOM if task.method == MORE else task.method
    limit = WORTH * problem.steps * (4 if task.method == MORE else 1)
    population = SCHEDULERS[scheduler].population
    trials = WORTH if population else MOST
    space = from_anywhere(problem.space, task.seed)
    if searcher == "grid":
        trials = len(grid(space, {}, WORTH))
    curves = problem.curves()
    options: dict[str, Any] = {"synchronous": problem.synchronous} if population else {}
    found = rltune.simulate(
        curves,
        space,
        scheduler=scheduler,
        searcher=searcher,
        trials=trials,
        steps=problem.steps,
        perturb_every=problem.interval,
        concurrent=SLOTS,
        seed=task.seed,
        noise=problem.noise,
        seconds_per_step=1.0,
        time_budget=limit / SLOTS,
        **options,
    )
    true = getattr(curves, "true", {})
    spent = [one.env_steps for one in found.improvements]
    scores = [true.get((one.trial, one.age), one.true_score) for one in found.improvements]
    shares = limit * np.arange(1, POINTS + 1) / POINTS
    known = np.searchsorted(spent, shares, side="right")
    return [scores[count - 1] if count else 0.0 for count in known]


class Repetitions:
    """Runs tasks, but for those that a file has, and adds them to it.

    Args:
        out: of lines like ``[["static optimum", "asha", "tpe", 0], [0.1, ...]]``; None for no file.
    """

    def __init__(self, pool: ProcessPoolExecutor, out: Path | None) -> None:
        self._pool, self._out = pool, out
        lines = out.read_text(encoding="utf-8").splitlines() if out and out.exists() else []
        self._known = {tuple(key): found for key, found in map(json.loads, lines)}

    def __call__(self, tasks: list[Task]) -> list[list[float]]:
        """Returns the curve of each, in their order."""
        keys = {(task.problem, *task.method, task.seed): task for task in tasks}
        left = {key: task for key, task in keys.items() if key not in self._known}
        for key, found in zip(left, self._pool.map(run, left.values()), strict=True):
            self._known[key] = found
            if self._out:
                with self._out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([key, found]) + "\n")
        return [self._known[key] for key in keys]


def verdicts(curves: Mapping[Method, np.ndarray]) -> dict[Method, str]:
    """Who leads at the end, who is level with it and who is worse, the best mean first."""
    ends = {" ".join(m): found[:, -1].tolist() for m, found in curves.items() if m != MORE}
    ranks = {one["method"]: one["verdict"] for one in ranked(RETURN, ends)}
    named = {" ".join(method): method for method in curves}
    return {named[name]: verdict for name, verdict in ranks.items()}


def table(curves: Mapping[Method, np.ndarray]) -> str:
    """Formats the results of a problem in Markdown, the best at the end first."""
    lines = [
        "| scheduler | searcher | at the end | | area | area / random's | steps to random's end |",
        "|---|---|---|---|---|---|---|",
    ]
    base = curves[RANDOM]
    for (scheduler, searcher), verdict in verdicts(curves).items():
        found = curves[scheduler, searcher]
        areas = found.mean(axis=1)
        low, high = interval(areas, base.mean(axis=1), of=_ratio)
        ratio = f"{_ratio(areas, base.mean(axis=1)):.2f} [{low:.2f}, {high:.2f}]"
        lines.append(
            f"| {scheduler} | {searcher} | {_mean(found[:, -1])} | {verdict} | {_mean(areas)} "
            f"| {ratio} "
            f"| {_steps(found, base)} |"
        )
    if MORE in curves:
        lines.append(f"| {' | '.join(MORE)} | {_mean(curves[MORE][:, -1])} | | | | |")
    return "\n".join(lines)


def overview(problems: Mapping[str, Mapping[Method, np.ndarray]]) -> str:
    """Formats the scores at the end of every method on every problem in Markdown.

    Bold leads or is level with the leader; a dash was not run.
    """
    every = dict.fromkeys(method for of in problems.values() for method in of if method != MORE)
    told = {name: verdicts(curves) for name, curves in problems.items()}
    good = {m: sum(of.get(m) in ("leads", "level") for of in told.values()) for m in every}
    lines = [
        f"| scheduler | searcher | {' | '.join(problems)} | leads or level |",
        "|---|---|" + "---|" * (len(problems) + 1),
    ]
    for scheduler, searcher in sorted(every, key=lambda m: -good[m]):
        method = scheduler, searcher
        cells = [
            _cell(curves.get(method), told[name].get(method)) for name, curves in problems.items()
        ]
        ran = sum(method in curves for curves in problems.values())
        lines.append(
            f"| {scheduler} | {searcher} | {' | '.join(cells)} | {good[method]} of {ran} |"
        )
    cells = [_cell(of.get(MORE), "worse") for of in problems.values()]
    return "\n".join([*lines, f"| {' | '.join(MORE)} | {' | '.join(cells)} | |"])


def _cell(found: np.ndarray | None, verdict: str | None) -> str:
    if found is None:
        return "-"
    score = f"{found[:, -1].mean():.2f}"
    return score if verdict == "worse" else f"**{score}**"


def _ratio(ours: Any, theirs: Any, axis: int = -1) -> Any:
    return np.mean(ours, axis=axis) / np.mean(theirs, axis=axis)


def _mean(values: np.ndarray) -> str:
    low, high = interval(values)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def _steps(found: np.ndarray, base: np.ndarray) -> str:
    """The share of the steps after which the mean curve is where random search's ends."""
    reached = np.flatnonzero(found.mean(axis=0) >= base[:, -1].mean() - 1e-9)
    return f"{(reached[0] + 1) / POINTS:.0%}" if len(reached) else "not reached"


def main() -> None:
    """Prints a table for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", help="CSV file of measured curves, see above.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="Every pair; takes about an hour.")
    parser.add_argument("--out", type=Path, help="File of repetitions that are not run again.")
    parser.add_argument("--problems", nargs="*", help="Parts of problems' names.")
    parser.add_argument("--methods", nargs="*", help="Schedulers or searchers.")
    options = parser.parse_args()
    wanted = [
        method
        for method in methods(options.all)
        if method in (RANDOM, MORE) or not options.methods or {*method} & {*options.methods}
    ]
    every: dict[str, dict[Method, np.ndarray]] = {}
    with ProcessPoolExecutor(options.processes) as pool:
        repeat = Repetitions(pool, options.out)
        for name, problem in problems(options.curves).items():
            if options.problems and not any(part in name for part in options.problems):
                continue
            able = [m for m in wanted if not (problem.constant and SCHEDULERS[m[0]].population)]
            tasks = [Task(options.curves, name, m, s) for m in able for s in range(options.seeds)]
            # Early in training a policy may be worse than any at its end.
            found = np.maximum(0, repeat(tasks)).reshape(len(able), options.seeds, POINTS)
            every[name] = dict(zip(able, found, strict=True))
            print(f"\n{name[0].upper()}{name[1:]}\n\n{table(every[name])}", flush=True)
    print(f"\nAll problems\n\n{overview(every)}")


if __name__ == "__main__":
    main()
