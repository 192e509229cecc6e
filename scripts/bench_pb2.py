"""Compares PB2 and PBT of rltune with Ray's PB2 on a drifting optimum, without training.

Each member of a population gains return by how near its settings are to an optimum that moves. All
sides share the first settings, the noise and the rule of who copies whom; only the exploration
differs. Prints a table of docs/tuning.md and draws docs/pb2.png; with ``--bounds``, prints the
other one instead: how many proposed values lie on a bound of the space, and what comes of it.

    pip install -e '.[bench]' && python scripts/bench_pb2.py
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from ray.tune.experiment import Trial
from ray.tune.schedulers.pb2 import PB2
from ray.tune.schedulers.pbt import _PBTTrialState
from scipy.stats import bootstrap

from rltune.schedulers.pb2 import Pb2Explorer
from rltune.schedulers.pbt import PbtExplorer
from rltune.space import Choice, Space, parse_parameter

INTERVALS = 30
STEPS = 1_000
#: Width of the bump on the unit cube, and deviation of a reported return; the top of it is 1.
WIDTH, NOISE = 0.2, 0.1
#: Positions that count as being on a bound: those that close to it.
ON_BOUND, NEAR_BOUND = 1e-6, 0.01
#: What an option that is not the best one leaves of the gain.
WRONG_OPTION = 0.2
QUANTILE = 0.25

SETTINGS: dict[str, dict[str, Any]] = {
    "linear": {"clip_param": {"uniform": [0.1, 0.4]}, "vf_loss_coeff": {"uniform": [0.0, 1.0]}},
    "logarithmic": {"lr": {"log": [1e-5, 1e-1]}, "clip_param": {"uniform": [0.1, 0.4]}},
    "choice": {
        "clip_param": {"uniform": [0.1, 0.4]},
        "advantage": {"choice": ["mean", "gae", "vtrace"]},
    },
}
#: The settings of the table of bounds.
NUMBERS: dict[str, dict[str, Any]] = {
    str(count): {f"x{index}": {"uniform": [0.0, 1.0]} for index in range(count)}
    for count in (2, 4, 8)
}

#: Best position of a number by its index, while the run goes from 0 to 1. Drifting, it moves across
#: 60 % of the scale, every other number downwards; on a bound, every other one is.
OPTIMA: dict[str, Callable[[int, float], float]] = {
    "drifting": lambda index, run: 0.2 + 0.6 * run if index % 2 else 0.8 - 0.6 * run,
    "still": lambda index, run: 0.3 + 0.4 * (0.618 * index % 1.0),
    "on a bound": lambda index, run: 0.5 if index % 2 else float(index // 2 % 2),
}


def gain(
    space: Space, values: Mapping[str, Any], interval: int, optimum: str = "drifting"
) -> float:
    """Gain in return over an interval: a bump on each number's own scale.

    The bump is wider the more numbers there are, so that random settings gain about as much. The
    best option of a choice is another one from half-way on.
    """
    progress = interval / (INTERVALS - 1)
    width = WIDTH * max(1.0, len(space) / 2) ** 0.5
    gained = 1.0
    for index, (name, parameter) in enumerate(space.items()):
        if isinstance(parameter, Choice):
            best = parameter.options[1 if progress < 0.5 else 2]
            gained *= 1.0 if values[name] == best else WRONG_OPTION
            continue
        off = parameter.to_unit(values[name]) - OPTIMA[optimum](index, progress)
        gained *= float(np.exp(-0.5 * (off / width) ** 2))
    return gained


class Explorer(Protocol):
    """An explorer of a population, see rltune.schedulers.population."""

    def observe(self, member: str, env_steps: int, score: float, values: Mapping[str, Any]) -> None:
        """Observes the end of a member's interval."""

    def explore(
        self, member: str, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Proposes new settings."""


class RayPb2:
    """Ray's own PB2, driven through the two methods that its scheduler calls.

    It takes linear bounds of floats alone: a choice goes with the donor's settings.
    """

    def __init__(self, space: Space, seed: int) -> None:
        bounds = {n: p.domain() for n, p in space.items() if not isinstance(p, Choice)}
        self.pb2 = PB2(
            time_attr="env_steps",
            metric="score",
            mode="max",
            perturbation_interval=STEPS,
            hyperparam_bounds=bounds,
            quantile_fraction=QUANTILE,
            log_config=False,
        )
        self.trials: dict[str, Trial] = {}
        np.random.seed(seed)  # noqa: NPY002  it draws from numpy's global generator

    def observe(self, member: str, env_steps: int, score: float, values: Mapping[str, Any]) -> None:
        trial = self.trials.setdefault(member, Trial("table", trial_id=member, stub=True))
        trial.config = values
        state = self.pb2._trial_state.setdefault(trial, _PBTTrialState(trial))
        result = {"env_steps": env_steps, "score": score}
        self.pb2._save_trial_state(state, env_steps, result, trial)

    def explore(
        self, member: str, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> dict[str, Any]:
        clone = next(trial for trial in self.trials.values() if trial.config is donor)
        config: dict[str, Any]
        config, _ = self.pb2._get_new_config(self.trials[member], clone)
        return config


SIDES: dict[str, Callable[[Space, int], Explorer] | None] = {
    "rltune PB2": Pb2Explorer,
    "rltune PBT": PbtExplorer,
    "Ray PB2": RayPb2,
    "random search": None,
}


@dataclass(frozen=True)
class Task:
    """Runs one population to its end."""

    setting: str
    members: int
    side: str
    seed: int
    optimum: str = "drifting"
    noise: float = NOISE


@dataclass(frozen=True)
class Outcome:
    """What came of a population.

    Attributes:
        curve: the best member's true return at the end of each interval.
        units: position of every number that was proposed.
    """

    curve: list[float]
    units: list[float]


@dataclass
class Member:
    """A member of the table's population; `reported` is its return as a scheduler sees it."""

    name: str
    values: Mapping[str, Any]
    gained: float = 0.0
    reported: float = 0.0


def run(task: Task) -> Outcome:
    """Runs a population on its table."""
    warnings.simplefilter("ignore")  # Ray's process fits without noise, and says so
    bodies = {**SETTINGS, **NUMBERS}[task.setting]
    space = Space({name: parse_parameter(name, body) for name, body in bodies.items()})
    build = SIDES[task.side]
    explorer = build(space, task.seed) if build else None
    rng = np.random.default_rng(task.seed)  # the same draws on every side
    members = [Member(f"m{n}", space.sample(rng)) for n in range(task.members)]
    numbers = [name for name, parameter in space.items() if not isinstance(parameter, Choice)]
    outcome = Outcome([], [])
    for interval in range(INTERVALS):
        noise = task.noise * rng.standard_normal(len(members))
        for member, error in zip(members, noise, strict=True):
            member.gained += gain(space, member.values, interval, task.optimum)
            member.reported = member.gained + error
        outcome.curve.append(max(member.gained for member in members))
        draws = rng.random(len(members))
        if explorer:
            for proposed in exploit(explorer, members, (interval + 1) * STEPS, draws):
                outcome.units.extend(space[name].to_unit(proposed[name]) for name in numbers)
    return outcome


def exploit(
    explorer: Explorer, members: list[Member], now: int, draws: np.ndarray
) -> list[Mapping[str, Any]]:
    """Lets the lowest quarter copy returns of the highest quarter, and explore from there.

    Returns what they go on with.
    """
    for member in members:
        explorer.observe(member.name, now, member.reported, member.values)
    ranked = sorted(members, key=lambda member: member.reported)
    moved = max(1, round(QUANTILE * len(members)))
    for member, draw in zip(ranked[:moved], draws, strict=False):
        donor = ranked[-1 - int(draw * moved)]
        member.values = explorer.explore(member.name, now, donor.reported, donor.values)
        member.gained, member.reported = donor.gained, donor.reported
    return [member.values for member in ranked[:moved]]


Curves = dict[tuple[str, int, str], np.ndarray]


def measure(seeds: int, processes: int) -> Curves:
    """Returns curves by setting, members and side, each of shape ``(seeds, INTERVALS)``."""
    keys = list(product(SETTINGS, (4, 8), SIDES))
    tasks = [Task(*key, seed) for key in keys for seed in range(seeds)]
    with ProcessPoolExecutor(processes) as pool:
        curves = np.array([outcome.curve for outcome in pool.map(run, tasks)])
    return dict(zip(keys, curves.reshape(len(keys), seeds, INTERVALS), strict=True))


def interval_of_mean(values: np.ndarray) -> str:
    """Computes the mean and its 95 % bootstrap interval."""
    low, high = values.mean(), values.mean()
    if np.ptp(values) > 0:
        low, high = bootstrap((values,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def table(curves: Curves) -> str:
    """Formats in Markdown the best return at the end, and the lead of rltune's PB2 by seed."""
    lines = [
        "| setting | members | side | best return at the end | rltune PB2 has more by |",
        "|---|---|---|---|---|",
    ]
    for (setting, members, side), curve in curves.items():
        ours = curves[setting, members, "rltune PB2"][:, -1]
        more = "" if side == "rltune PB2" else interval_of_mean(ours - curve[:, -1])
        final = interval_of_mean(curve[:, -1])
        lines.append(f"| {setting} | {members} | {side} | {final} | {more} |")
    return "\n".join(lines)


def bounds(seeds: int, processes: int) -> str:
    """Formats in Markdown, for each optimum, the shares of values on a bound and the best return.

    A line is the mean over 4 and 8 members and two sizes of noise.
    """
    lines = [
        "| optimum | numbers | side | on a bound | within 1 % | best return at the end "
        "| rltune PB2 has more by |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = np.zeros(seeds)
    populations = list(product((4, 8), (NOISE, 5 * NOISE)))
    with ProcessPoolExecutor(processes) as pool:
        for optimum, setting, side in product(OPTIMA, NUMBERS, ("rltune PB2", "rltune PBT")):
            tasks = [
                Task(setting, members, side, seed, optimum, noise)
                for seed in range(seeds)
                for members, noise in populations
            ]
            outcomes = list(pool.map(run, tasks))
            edges = np.array([min(u, 1.0 - u) for one in outcomes for u in one.units])
            shares = [f"{np.mean(edges <= near):.0%}" for near in (ON_BOUND, NEAR_BOUND)]
            ends = np.array([one.curve[-1] for one in outcomes]).reshape(seeds, -1).mean(axis=1)
            ours = ends if side == "rltune PB2" else ours
            more = "" if side == "rltune PB2" else interval_of_mean(ours - ends)
            cells = [optimum, setting, side, *shares, interval_of_mean(ends), more]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(curves: Curves, file: Path) -> None:
    """Plots the mean best return of each side over the intervals, with its 95 % band."""
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    axes = figure.subplots(2, len(SETTINGS), sharex=True, sharey=True)
    columns = {setting: column for column, setting in enumerate(SETTINGS)}
    for (setting, members, side), curve in curves.items():
        axis = axes[int(members == 8), columns[setting]]
        mean = curve.mean(axis=0)
        error = 1.96 * curve.std(axis=0, ddof=1) / np.sqrt(len(curve))
        intervals = np.arange(1, INTERVALS + 1)
        axis.plot(intervals, mean, label=side)
        axis.fill_between(intervals, mean - error, mean + error, alpha=0.2)
        axis.set_title(f"{setting}, {members} members")
    for axis in axes[:, 0]:
        axis.set_ylabel("best return")
    for axis in axes[-1]:
        axis.set_xlabel("intervals")
    axes[0, 0].legend(fontsize="small")
    figure.savefig(file, dpi=110)


def main() -> None:
    """Prints the table and draws the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--plot", type=Path, default=Path("docs/pb2.png"))
    parser.add_argument("--bounds", action="store_true", help="print the table of bounds instead")
    options = parser.parse_args()
    if options.bounds:
        print(bounds(options.seeds, options.processes))
        return
    curves = measure(options.seeds, options.processes)
    print(table(curves))
    plot(curves, options.plot)


if __name__ == "__main__":
    main()
