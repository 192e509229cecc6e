"""Checks what a population says made the difference, where that is known by construction.

    python scripts/bench_verdicts.py --repetitions 100

Three problems: a useful schedule is planted (what a step adds depends on a rate whose best value
moves), constant settings matter alone, and nothing matters but the seed. In each repetition a
simulated PBT with controls trains, and its champion is replayed on fresh seeds as `rltune replay`
does: the arms train on the same curves, and :func:`verdict` says what it was. Prints how often it
said what, and how often the sweep itself said that copying and changing made the difference.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import rltune
from rltune.reports.confidence import beside_controls
from rltune.runs import lineage
from rltune.simulator import Segment
from rltune.simulator.run_folder import write_run
from rltune.spec import JobSpec
from rltune.sweeps.jobs.schedule_replay import ScheduleReplay, verdict

STEPS, INTERVAL = 8_000, 800
SPACE = {"rate": {"uniform": [0.0, 1.0]}}


class Planted:
    """Gains of a step that depend on how far the rate is from the best one, and on chance.

    Args:
        best: the best rate by the share of the training that is over; None where it is all one.
    """

    def __init__(self, best: tuple[float, float] | None) -> None:
        self.best = best

    def train(self, segment: Segment) -> tuple[Any, float]:
        """Adds what the segment's steps gain; its noise is that of the trial's seed."""
        length = (segment.stop - segment.start) / STEPS
        gain = 0.5
        if self.best is not None:
            first, last = self.best
            wanted = first + (last - first) * segment.start / STEPS
            gain = math.exp(-(((segment.settings["rate"] - wanted) / 0.2) ** 2))
        value = (segment.weights or 0.0) + gain * length
        value += 0.1 * math.sqrt(length) * float(segment.rng.standard_normal())
        return value, value


PROBLEMS = {
    "schedule": Planted((0.05, 0.95)),
    "selection": Planted((0.5, 0.5)),
    "luck": Planted(None),
}


def run(problem: str, seeds: int, repetition: int) -> tuple[str, bool]:
    """What a replay says, and whether the sweep says that copying and changing mattered."""
    curves = PROBLEMS[problem]
    found = rltune.simulate(
        curves,
        SPACE,
        scheduler="pbt",
        trials=16,
        controls=6,
        steps=STEPS,
        perturb_every=INTERVAL,
        report_every=INTERVAL,
        concurrent=16,
        noise=0.02,
        seed=repetition,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = write_run(found, Path(name) / "run")
        assert folder.summary is not None
        told = beside_controls(folder.spec, folder.summary) or ""
        arms, steps = lineage.arms(folder)
        job = ScheduleReplay(folder.spec, JobSpec("replay", arms))
    scores: dict[str, list[float]] = {arm: [] for arm in job.arms}
    for index in range(seeds * len(job.arms)):
        seed = 10_000 + 1_000 * repetition + index
        scores[job.arm(index)].append(_trained(curves, job, index, seed, steps))
    return str(verdict(scores, job.arms)), "made the difference" in told


def _trained(curves: Planted, job: ScheduleReplay, index: int, seed: int, steps: int) -> float:
    """What a schedule comes to on a seed."""
    weights, value = None, 0.0
    for start in range(0, steps, INTERVAL):
        settings: Mapping[str, Any] = {**job.due(index, start), "seed": seed}
        stop = min(start + INTERVAL, steps)
        rng = np.random.default_rng([seed, stop])
        weights, value = curves.train(Segment("t00", settings, start, stop, weights, rng))
    return value


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print("| planted | seeds an arm | schedule | selection | luck | by its controls |")
    print("|---|---|---|---|---|---|")
    with ProcessPoolExecutor(options.processes) as pool:
        for problem in PROBLEMS:
            for seeds in options.seeds:
                one = partial(run, problem, seeds)
                found = list(pool.map(one, range(options.repetitions)))
                said = Counter(word for word, _ in found)
                shares = [said[word] for word in ("schedule", "selection", "luck")]
                beyond = sum(beyond for _, beyond in found)
                cells = [problem, seeds, *shares, beyond]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
