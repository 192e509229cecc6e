"""The best so far of several runs; of runs that repeat each other, their mean and its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from rltune.reports.comparison import Comparison, task_of
from rltune.reports.plots import best_so_far
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column, grouped
from rltune.reports.plots.ink import PALETTE, figure, line
from rltune.reports.run_view import RunView
from rltune.statistics import FEWEST_VALUES, interval

#: Points of a mean.
POINTS = 60


def rows(compared: Comparison) -> list[Row]:
    """``spent`` and ``value`` of each ``run``; ``panel``: its task and what is spent.

    Runs that repeat each other are one, by what their names share: ``value`` is their mean, and
    ``low`` and ``high`` its 95 % bootstrap interval, None of fewer than five. The mean starts
    where all of them have a report, and ends where the first one ended.
    """
    return [
        {"panel": f"{task_of(runs[0])}, {against}", "run": name, **row}
        for name, runs in compared.repeated.items()
        for against, paths in _paths(runs).items()
        for row in (_mean(paths) if len(paths) > 1 else _alone(paths[0]))
    ]


def _paths(runs: Sequence[RunView]) -> dict[str, list[list[tuple[float, float]]]]:
    """What was spent and the best by then of each run that has reported, by what is spent."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for run in runs:
        training = [row for row in best_so_far.rows(run) if row["kind"] == "training"]
        for against, of in grouped(training, "against").items():
            found.setdefault(against, []).append([(row["spent"], row["value"]) for row in of])
    return found


def _alone(path: Sequence[tuple[float, float]]) -> Iterator[Row]:
    for spent, value in path:
        yield {"spent": spent, "value": value, "low": None, "high": None}


def _mean(paths: Sequence[Sequence[tuple[float, float]]]) -> Iterator[Row]:
    first, last = max(path[0][0] for path in paths), min(path[-1][0] for path in paths)
    for at in np.linspace(first, max(first, last), POINTS).tolist():
        best = [_by(path, at) for path in paths]
        low, high = interval(best) if len(best) >= FEWEST_VALUES else (None, None)
        yield {"spent": at, "value": float(np.mean(best)), "low": low, "high": high}


def _by(path: Sequence[tuple[float, float]], at: float) -> float:
    """The best once so much was spent."""
    later = (value for (_, value), (start, _) in pairwise(path) if start > at)
    return next(later, path[-1][1])


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A staircase a run; two thin lines around a mean are its interval."""
    traces = []
    for place, (name, of) in enumerate(grouped(rows, "run").items()):
        colour, spent = PALETTE[place % len(PALETTE)], column(of, "spent")
        hover, stairs = "%{y:.5~g} after %{x:,.6~g}", {"shape": "hv"}
        traces.append(line(spent, column(of, "value"), name, colour, line=stairs, hover=hover))
        if of[0]["low"] is not None:
            for end in ("low", "high"):
                traces.append(line(spent, column(of, end), "", colour, 1, opacity=0.5, line=stairs))
    return figure(traces, str(rows[0]["panel"]).rpartition(", ")[2], axes.goal.name)
