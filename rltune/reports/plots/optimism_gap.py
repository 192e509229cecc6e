"""What the search believed it had, beside what it has."""

from __future__ import annotations

import math

from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column
from rltune.reports.plots.ink import BLUE, GREY, dots, figure, intervals, listed
from rltune.reports.run_view import RunView

TRAINING, SELECTION, TEST = (
    "newest training episodes",
    "episodes it was chosen by",
    "fresh seeds: the score",
)


def rows(run: RunView) -> list[Row]:
    """``policy`` (a trial), ``measured`` on what, ``value``, and its 95 % interval where known."""
    summary = run.summary
    if summary is None or summary.best is None or summary.evaluation is None:
        return []
    if summary.seeds:
        return [
            row
            for seed in summary.seeds
            for row in (
                _row(seed.trial, SELECTION, seed.selection_score),
                _row(
                    seed.trial, TEST, seed.score, *(seed.evaluation.ci95 if seed.evaluation else ())
                ),
            )
            if row
        ]
    best, evaluation = summary.best, summary.evaluation
    found = [
        _row(best.trial, TRAINING, best.score),
        _row(best.trial, SELECTION, best.selection_score),
        _row(best.trial, TEST, evaluation.mean, *evaluation.ci95),
    ]
    return [row for row in found if row]


def _row(
    trial: str, measured: str, value: float | None, low: float = math.nan, high: float = math.nan
) -> Row | None:
    if value is None or not math.isfinite(value):
        return None
    known = math.isfinite(low)
    ends = {"low": low if known else None, "high": high if known else None}
    return {"policy": trial, "measured": measured, "value": value, **ends}


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A dot a measurement, the score with its interval."""
    policies = list(dict.fromkeys(column(rows, "policy")))
    one = len(policies) == 1
    kinds = [kind for kind in (TRAINING, SELECTION, TEST) if kind in column(rows, "measured")]
    names = kinds if one else policies
    height = {name: place for place, name in enumerate(names)}
    place = "measured" if one else "policy"
    traces = [intervals(rows, [height[row[place]] for row in rows])]
    for kind, colour in zip(kinds, (GREY, GREY, BLUE)[-len(kinds) :], strict=True):
        part = [row for row in rows if row["measured"] == kind]
        at = [height[row[place]] for row in part]
        traces.append(
            dots(
                column(part, "value"),
                at,
                "" if one else kind,
                colour,
                text=column(part, "policy"),
                hover=f"%{{text}}, {kind}: %{{x:.5~g}}",
                marker={"size": 11},
            )
        )
    return figure(
        [trace for trace in traces if trace["x"]],
        axes.goal.name,
        "",
        yaxis=listed(names),
        height=110 + 34 * len(names),
    )
