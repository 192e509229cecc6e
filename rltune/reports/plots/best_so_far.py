"""The best report of a sweep so far, against what was spent."""

from __future__ import annotations

import math

from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column, grouped
from rltune.reports.plots.ink import GREY, figure, line
from rltune.reports.run_view import RunView

#: What is spent, in the words of the axis.
SECONDS = "seconds"


def rows(run: RunView) -> list[Row]:
    """``against`` (what is spent), ``spent``, ``value`` of the best report by then, its ``trial``.

    Rows of the ``kind`` "fresh seeds" hold the score of the best policy, "training" the rest.
    """
    reports = [row for of in (run.reports, run.discarded) for rows in of.values() for row in rows]
    reports.sort(key=lambda row: row.wall_seconds)
    score_of, best, steps = run.goal.score_of, -math.inf, 0
    found: list[tuple[int, float, float, str]] = []
    for report in reports:
        steps += report.env_steps_this_iter
        score = score_of(report.measured)
        if score is not None and score > best and math.isfinite(score):
            best = score
            found.append((steps, report.wall_seconds, score, report.trial))
    if not found:
        return []
    found.append((steps, reports[-1].wall_seconds, *found[-1][2:]))
    by_steps = [(at, score, trial) for at, _, score, trial in found]
    by_time = [(at, score, trial) for _, at, score, trial in found]
    return [
        {"against": against, "kind": kind, "spent": at, "value": value, "trial": trial}
        for against, path in (
            (run.axes.clock + " of all trials", by_steps),
            (SECONDS, by_time),
        )
        for kind, at, value, trial in [
            *(("training", at, run.goal.score(score), trial) for at, score, trial in path),
            *_fresh(run, (0, path[-1][0])),
        ]
    ]


def _fresh(run: RunView, ends: tuple[float, float]) -> list[tuple[str, float, float, str]]:
    evaluation = run.summary.evaluation if run.summary else None
    if evaluation is None or not math.isfinite(evaluation.mean):
        return []
    return [("fresh seeds", end, evaluation.mean, run.winner or "") for end in ends]


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A staircase, and a dashed line at the score on fresh seeds."""
    kinds = grouped(rows, "kind")
    hover = "%{y:.5~g} by %{text}, after %{x:,.6~g}"
    traces = [
        line(
            column(kinds["training"], "spent"),
            column(kinds["training"], "value"),
            "best report so far",
            line={"shape": "hv"},
            text=column(kinds["training"], "trial"),
            hover=hover,
        )
    ]
    if fresh := kinds.get("fresh seeds"):
        traces.append(
            line(
                column(fresh, "spent"),
                column(fresh, "value"),
                "best policy on fresh seeds",
                GREY,
                line={"dash": "dash"},
                hover="%{y:.5~g} on fresh seeds",
            )
        )
    return figure(traces, rows[0]["against"], axes.goal.name)
