"""Tunes schedules of settings that were all measured: chosen on one seed, scored on another.

    python scripts/bench_schedules.py --curves curves.csv.gz

Curves are those of `bench_methods.py --curves`: PPO on Atari's Enduro with other settings in each
third of the training, 9 in each, on three seeds. A population of eight members changes settings at
both thirds. A repetition trains on one seed; its best member by the mean of the last ten points is
scored by the same of its schedule on another seed. Random search draws whole schedules. Prints the
mean score of each method with its 95 % interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from bench_methods import from_anywhere, measured

import rltune
from rltune.simulator import Segment
from rltune.statistics import interval

MEMBERS, STEPS = 8, 99
SPACE = {
    "lr": {"choice": [1e-5, 1e-4, 1e-3]},
    "gamma": {"choice": [0.95, 0.98, 0.99]},
}
#: Options of each population, but for the last one as of a sweep.
METHODS: dict[str, dict[str, Any]] = {
    "fifo": {},
    "pbt": {"synchronous": True},
    "mfpbt": {"synchronous": True},
    "pb2": {"synchronous": True},
    "pb2, quantile 0.5": {"synchronous": True, "quantile": 0.5},
}

Point = tuple[float, float, float]


class OneSeed:
    """The curves of one seed; notes the best whole schedule."""

    def __init__(self, file: str, seed: int) -> None:
        self._runs, _, _ = measured(file, "Enduro", "schedule")
        self._seed = seed
        self.best: tuple[float, tuple[Point, ...]] | None = None

    def train(self, segment: Segment) -> tuple[Any, float]:
        """The mean of the last ten points of the schedule so far, whose last part is held."""
        third = min(2, segment.start * 3 // STEPS)
        settings = segment.settings
        here = [float(np.log10(settings["lr"])), settings["gamma"], 0.0]
        schedule = [*(segment.weights or [])[:third], here]
        whole = tuple(tuple(part) for part in [*schedule, *[here] * (2 - third)])
        score = last_ten(of_seed(self._runs[whole], self._seed)[: segment.stop])
        if segment.stop >= STEPS and (self.best is None or score > self.best[0]):
            self.best = score, whole
        return schedule, score


def of_seed(runs: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """The run on a seed; a schedule of which runs were cut short has fewer of them."""
    return runs[seed % len(runs)]


def last_ten(returns: Sequence[float] | np.ndarray) -> float:
    """Mean of the last ten points."""
    return float(np.mean(returns[-10:]))


def population(file: str, method: str, repetition: int) -> float:
    """What the choice of a population scores on another seed."""
    seed, other = np.random.default_rng(repetition).permutation(3)[:2]
    curves = OneSeed(file, seed)
    rltune.simulate(
        curves,
        from_anywhere(SPACE, repetition),
        scheduler=method.partition(",")[0],
        trials=MEMBERS,
        steps=STEPS,
        perturb_every=STEPS // 3,
        concurrent=MEMBERS,
        noise=0.0,
        seed=repetition,
        **METHODS[method],
    )
    assert curves.best is not None
    runs, _, _ = measured(file, "Enduro", "schedule")
    return last_ten(of_seed(runs[curves.best[1]], other))


def random_schedules(file: str, trials: int, repetition: int) -> float:
    """What the choice among random schedules scores on another seed."""
    rng = np.random.default_rng(repetition)
    seed, other = rng.permutation(3)[:2]
    runs, _, _ = measured(file, "Enduro", "schedule")
    every = list(runs.values())
    drawn = [every[n] for n in rng.integers(len(every), size=trials)]
    chosen = max(drawn, key=lambda of: last_ten(of_seed(of, seed)))
    return last_ten(of_seed(chosen, other))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", required=True, help="CSV file of measured curves, see above.")
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    sides: dict[str, Any] = {
        f"random schedules, {trials} trials": partial(random_schedules, options.curves, trials)
        for trials in (8, 16, 32)
    }
    sides |= {
        f"{method}, {MEMBERS} {'trials' if method == 'fifo' else 'members'}": partial(
            population, options.curves, method
        )
        for method in METHODS
    }
    print("| method | score on another seed |\n|---|---|")
    with ProcessPoolExecutor(options.processes) as pool:
        for name, side in sides.items():
            scores = list(pool.map(side, range(options.repetitions)))
            low, high = interval(scores)
            print(f"| {name} | {np.mean(scores):.1f} [{low:.1f}, {high:.1f}] |", flush=True)


if __name__ == "__main__":
    main()
