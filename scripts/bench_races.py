"""Measures what the verdict of a race is worth, on drawn scores.

    python scripts/bench_races.py --races 300

The first table has the share of races of five methods of one mean in which some method is called
worse: 5 % is what is wanted, however much the methods vary. Behind it is the share with Tukey's
range test, which takes one variance for all. The second has the share of races in which a method is
called worse that is, by so many standard deviations of a repetition.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from rltune.races.outcome import LEVEL
from rltune.statistics import differences

METHODS = 5
REPETITIONS = (3, 5, 10)
#: Standard deviations of the methods' scores.
SPREADS = ((1, 1, 1, 1, 1), (1, 1, 1, 1, 5), (5, 5, 1, 1, 1), (1, 1, 1, 1, 50))
#: By how many standard deviations of a repetition one is worse.
DISTANCES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)

Draw = Callable[[np.random.Generator, int], np.ndarray]
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, count: rng.standard_normal(count),
    "skewed": lambda rng, count: 1 - rng.exponential(1.0, count),
}


Test = Callable[[Sequence[np.ndarray]], np.ndarray]


def tukey(scores: Sequence[np.ndarray]) -> np.ndarray:
    """The p-values of all pairs with one variance for all."""
    return np.asarray(stats.tukey_hsd(*scores).pvalue)


def worse(scores: Sequence[np.ndarray], test: Test = differences) -> np.ndarray:
    """Whether a race of these scores calls each method worse than its leader."""
    leader = int(np.argmax([drawn.mean() for drawn in scores]))
    return test(scores)[leader] <= LEVEL


def wrong(draw: Draw, spreads: Sequence[float], count: int, races: int, test: Test) -> float:
    """The share of races in which a method of the common mean is called worse."""
    rng = np.random.default_rng(0)
    found = [worse([spread * draw(rng, count) for spread in spreads], test) for _ in range(races)]
    return float(np.mean([of.any() for of in found]))


def told(distance: float, count: int, races: int) -> float:
    """The share of races in which the one method that is worse is called so."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(races):
        scores = [rng.standard_normal(count) for _ in range(METHODS)]
        scores[0] = scores[0] - distance
        hits.append(worse(scores)[0])
    return float(np.mean(hits))


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=300, help="Races behind each figure.")
    races = parser.parse_args().races
    columns = f"{' | '.join(f'{count} repetitions' for count in REPETITIONS)} |"
    rule = "---|" * len(REPETITIONS)
    print(f"| scores | standard deviations | {columns}\n|---|---|{rule}")
    for name, draw in DRAWS.items():
        for spreads in SPREADS:
            shares = [
                " / ".join(
                    f"{wrong(draw, spreads, count, races, t):.0%}" for t in (differences, tukey)
                )
                for count in REPETITIONS
            ]
            print(f"| {name} | {', '.join(map(str, spreads))} | {' | '.join(shares)} |", flush=True)
    print(f"\n| worse by | {columns}\n|---|{rule}")
    for distance in DISTANCES:
        shares = [f"{told(distance, count, races):.0%}" for count in REPETITIONS]
        print(f"| {distance:g} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
