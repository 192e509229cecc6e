"""Measures what the verdict of a race is worth, on drawn scores.

    python scripts/bench_races.py --races 300

The first table has the share of races of five methods of one mean in which some method is called
worse: 5 % is what is wanted, however much the methods vary. The second has the share of races in
which a method is called worse that is, by so many standard deviations of a repetition. Methods
share the seed of a repetition, and so a part of their scores' variance: none, or half of it. Behind
each figure is that of the test of Games and Howell, which knows nothing of repetitions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from rltune.races.outcome import LEVEL
from rltune.statistics import behind_best

METHODS = 5
REPETITIONS = (3, 5, 10, 20)
#: Standard deviations of the methods' scores.
SPREADS = ((1, 1, 1, 1, 1), (1, 1, 1, 1, 5), (5, 5, 1, 1, 1), (1, 1, 1, 1, 50))
#: By how many standard deviations of a repetition one is worse.
DISTANCES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
#: What methods share of a score's variance.
SHARED = (0.0, 0.5)

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "skewed": lambda rng, shape: 1 - rng.exponential(1.0, shape),
    "all or nothing": lambda rng, shape: np.where(rng.random(shape) < 0.3, -1.53, 0.65),
}

#: Takes scores of shape (methods, repetitions); returns a p-value for each method.
Test = Callable[[np.ndarray], np.ndarray]


def games_howell(scores: np.ndarray) -> np.ndarray:
    """The p-values of the differences to the highest mean, of repetitions without an order."""
    means, parts = scores.mean(axis=1), scores.var(axis=1, ddof=1) / scores.shape[1]
    best = means.argmax()
    both = parts + parts[best]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = both**2 * (scores.shape[1] - 1) / (parts**2 + parts[best] ** 2)
        ranges = np.sqrt(2) * (means[best] - means) / np.sqrt(both)
    found = stats.studentized_range.sf(np.nan_to_num(ranges), len(scores), freedom)
    return np.where(both > 0, np.where(means == means[best], 1.0, found), means == means[best])


TESTS: tuple[Test, ...] = (behind_best, games_howell)


def drawn(
    draw: Draw, rng: np.random.Generator, spreads: Sequence[float], count: int, shared: float
) -> np.ndarray:
    """Scores of methods of one mean, shape (methods, repetitions)."""
    common = np.sqrt(shared) * draw(rng, (1, count))
    own = np.sqrt(1 - shared) * draw(rng, (len(spreads), count))
    return np.array(spreads)[:, None] * (common + own)


def wrong(draw: Draw, spreads: Sequence[float], count: int, shared: float, races: int) -> str:
    """The share of races in which a method of the common mean is called worse, by each test."""
    rng = np.random.default_rng(0)
    scores = [drawn(draw, rng, spreads, count, shared) for _ in range(races)]
    return _shares([[(test(of) <= LEVEL).any() for of in scores] for test in TESTS])


def told(distance: float, count: int, shared: float, races: int) -> str:
    """The share of races in which the one method that is worse is called so, by each test."""
    rng = np.random.default_rng(0)
    spreads = [1.0] * METHODS
    scores = [drawn(DRAWS["normal"], rng, spreads, count, shared) for _ in range(races)]
    for of in scores:
        of[0] -= distance
    return _shares([[test(of)[0] <= LEVEL for of in scores] for test in TESTS])


def _shares(found: Sequence[Sequence[bool]]) -> str:
    return " / ".join(f"{np.mean(of):.0%}" for of in found)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=300, help="Races behind each figure.")
    races = parser.parse_args().races
    columns = f"{' | '.join(f'{count} repetitions' for count in REPETITIONS)} |"
    rule = "---|" * len(REPETITIONS)
    print(f"| scores | standard deviations | shared | {columns}\n|---|---|---|{rule}")
    for name, draw in DRAWS.items():
        for spreads in SPREADS:
            for shared in SHARED:
                shares = [wrong(draw, spreads, count, shared, races) for count in REPETITIONS]
                of = f"{name} | {', '.join(map(str, spreads))} | {shared:.0%}"
                print(f"| {of} | {' | '.join(shares)} |", flush=True)
    print(f"\n| worse by | shared | {columns}\n|---|---|{rule}")
    for distance in DISTANCES:
        for shared in SHARED:
            shares = [told(distance, count, shared, races) for count in REPETITIONS]
            print(f"| {distance:g} | {shared:.0%} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
