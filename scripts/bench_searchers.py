"""Measures what a suggestion of each searcher costs, in milliseconds.

    python scripts/bench_searchers.py                       # every searcher that is ready here
    python scripts/bench_searchers.py gp tpe --trials 10 400

Five settings on four scales (log, uniform, int, choice), a formula as the score. Printed is the
median over the last of a number of trials, one after the other, with all that rltune does for a
suggestion. It is processor time, so that a busy machine makes little difference: libraries keep to
one thread, as in a sweep.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from rltune.options import Budget
from rltune.searchers import READY, SEARCHERS, build
from rltune.searchers.history import History
from rltune.space import Space, parse_parameter
from rltune.spec import FUNCTION, RunSpec

BODIES = {
    "lr": {"log": [1e-5, 1e-1]},
    "momentum": {"uniform": [0.0, 1.0]},
    "dropout": {"uniform": [0.0, 0.5]},
    "layers": {"int": [1, 8]},
    "activation": {"choice": ["relu", "tanh", "silu"]},
}
#: Suggestions that a median is taken over.
LAST = 5


def request(searcher: str, trials: int) -> RunSpec:
    """A sweep over the space."""
    space = Space({name: parse_parameter(name, body) for name, body in BODIES.items()})
    return RunSpec(
        algo=FUNCTION,
        env="formula",
        env_id="math:exp",
        settings={name: parameter.from_unit(0.5) for name, parameter in space.items()},
        space=space,
        budget=Budget(searcher=searcher, scheduler="fifo", trials=trials),
        name="bench",
        storage=".",
        seed=0,
    )


def score(values: dict[str, Any]) -> float:
    """A bump off the middle, with a better option."""
    lr = abs(math.log10(values["lr"]) + 2.5) + abs(values["momentum"] - 0.8)
    return float((values["activation"] == "silu") - lr - values["dropout"] - values["layers"] / 8)


def measure(name: str, mark: int) -> float:
    """Milliseconds of a suggestion after a number of trials, of which most were random draws."""
    draws, searcher, history = build(request("random", mark)), build(request(name, mark)), History()
    seconds = []
    for number in range(mark + 1):
        started = time.process_time()
        values = (draws if number < mark - LAST else searcher).suggest(number, history)
        seconds.append(time.process_time() - started)
        history.started(f"t{number}", values, seed=0)
        history.reported(f"t{number}", 1, score(values))
        history.ended(f"t{number}")
    return 1_000 * statistics.median(seconds[-LAST:])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="What a suggestion costs.")
    ready = [name for name, row in SEARCHERS.items() if row.state == READY and name != "grid"]
    parser.add_argument("searchers", nargs="*", default=ready)
    parser.add_argument("--trials", nargs="+", type=int, default=[10, 50, 200])
    arguments = parser.parse_args()
    table = Table("searcher", *(f"{mark} trials" for mark in arguments.trials))
    for name in arguments.searchers:
        costs = [measure(name, mark) for mark in arguments.trials]
        table.add_row(name, *(f"{cost:.1f} ms" for cost in costs))
    Console().print(table)


if __name__ == "__main__":
    main()
