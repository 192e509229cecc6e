"""The probability that one run is better than another."""

from __future__ import annotations

import math
from itertools import combinations

from rltune.reports.comparison import Comparison
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column
from rltune.reports.plots.ink import GREY, dots, figure, intervals, line, listed
from rltune.statistics import better


def rows(compared: Comparison) -> list[Row]:
    """For every two entries of a ``panel``, the better one first: ``probability``, its interval."""
    goal, found = compared.goal, []
    for one, other in combinations(compared.entries, 2):
        if one.panel != other.panel:
            continue
        if goal.score(one.iqm) < goal.score(other.iqm):
            one, other = other, one
        sure = better(goal.scores(one.scores), goal.scores(other.scores))
        low, high = sure["ci95"]
        known = math.isfinite(low)
        found.append(
            {
                "panel": one.panel,
                "better": one.name,
                "worse": other.name,
                "probability": sure["probability"],
                "low": low if known else None,
                "high": high if known else None,
            }
        )
    return found


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A dot a pair with its interval, beside the line of no difference."""
    places = list(range(len(rows)))
    traces = [
        line([0.5, 0.5], [-0.5, len(rows) - 0.5], "no difference", GREY, 1, line={"dash": "dash"}),
        intervals(rows, places),
        dots(column(rows, "probability"), places, hover="%{x:.2f}", marker={"size": 11}),
    ]
    names = [f"{row['better']} over {row['worse']}" for row in rows]
    return figure(
        [trace for trace in traces if trace["x"]],
        "probability",
        "",
        xaxis={"range": [-0.02, 1.02]},
        yaxis=listed(names),
        height=110 + 34 * len(rows),
    )
