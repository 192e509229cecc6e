"""What --cost-aware is worth: the best score at equal seconds, beside the same search without it.

    python scripts/bench_cost.py --repetitions 200

Every sweep runs on the simulator with the real searchers: two trials at a time, four settings, and
a trial of the dearest settings takes ten times the seconds of one of the cheapest. Costs are equal,
tell nothing about the score, or the cheap settings are the better or the worse ones. The score is
that of the best trial, without its noise, once the time is up: as many seconds as 30 trials of a
plain random search take. Beside both, suggestions are chosen by their expected improvement alone:
what is gained over that is the cost's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import rltune
from rltune import searchers
from rltune.searchers.cost_aware import CostAwareSearcher
from rltune.spec import RunSpec
from rltune.statistics import interval

SPACE = {
    "lr": {"log": [1e-5, 1e-1], "default": 1e-2},
    "gamma": {"uniform": [0.0, 1.0], "default": 0.2},
    "size": {"uniform": [0.0, 1.0], "default": 0.5},
    "kind": {"choice": ["a", "b", "c"], "default": "c"},
}
SLOTS, TRIALS = 2, 30
ARMS = ("plain", "cost-aware", "improvement")
#: What the size of a trial adds to its score, and how many times dearer it makes it.
CASES: dict[str, tuple[float, float]] = {
    "equal costs": (0.0, 1.0),
    "cost tells nothing": (0.0, 10.0),
    "cheap settings are better": (-1.0, 10.0),
    "cheap settings are worse": (1.0, 10.0),
}


def score_of(gain: float) -> Callable[[Mapping[str, Any], int], float]:
    """Scores whose best is 0."""

    def score(settings: Mapping[str, Any], env_steps: int) -> float:
        off = 0.5 * abs(np.log10(settings["lr"]) + 3.5) + abs(settings["gamma"] - 0.7)
        return float(
            -off - 0.5 * (settings["kind"] != "b") - (gain > 0) * gain + gain * _at(settings)
        )

    return score


def _at(settings: Mapping[str, Any]) -> float:
    return float(settings["size"])


class ByImprovement(CostAwareSearcher):
    """Chooses among suggestions as if all had the same cost."""

    def _costs(self, known: Any, inputs: Any, asked: Any) -> Any:
        return np.zeros(len(asked))


def best_of(searcher: str, case: str, seed: int, arm: str) -> float:
    """The best true score of one sweep once its time is up."""

    def build(spec: RunSpec) -> Any:
        plain = searchers.build(
            replace(spec, budget=replace(spec.budget, searcher=searcher, cost_aware=False))
        )
        return ByImprovement(spec, plain) if arm == "improvement" else plain

    gain, dearer = CASES[case]
    mean = (dearer - 1) / np.log(dearer) if dearer > 1 else 1.0
    seconds = TRIALS * mean / SLOTS
    found = rltune.simulate(
        score_of(gain),
        SPACE,
        scheduler="fifo",
        searcher=searcher if arm == "cost-aware" else build,
        trials=1_000,
        steps=100,
        report_every=100,
        perturb_every=100,
        concurrent=SLOTS,
        noise=0.05,
        time_budget=seconds,
        seconds_per_step=lambda settings: float(dearer ** _at(settings)) / 100,
        cost_aware=arm != "plain",
        seed=seed,
    )
    return found.best_at(seconds, "seconds")


def main() -> None:
    """Prints a row for each case and searcher."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--searchers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    asked = parser.parse_args()
    print("| case | searcher | plain | cost-aware, less plain | by improvement alone, less plain |")
    print("|---|---|---|---|---|")
    for case in asked.cases:
        for searcher in asked.searchers:
            scores = {
                arm: np.array([best_of(searcher, case, n, arm) for n in range(asked.repetitions)])
                for arm in ARMS
            }
            plain, *others = scores.values()
            cells = [f"{plain.mean():.3f}", *(in_words(other - plain) for other in others)]
            print(f"| {case} | {searcher} | {' | '.join(cells)} |", flush=True)


def in_words(differences: Any) -> str:
    """Their mean with its 95 % interval."""
    low, high = interval(differences)
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()
