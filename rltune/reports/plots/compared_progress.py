"""The best so far of several runs."""

from __future__ import annotations

from rltune.reports.comparison import Comparison, task_of
from rltune.reports.plots import best_so_far
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column, grouped
from rltune.reports.plots.ink import PALETTE, figure, line


def rows(compared: Comparison) -> list[Row]:
    """``spent`` and ``value`` of each ``run``; ``panel``: its task and what is spent."""
    return [
        {
            "panel": f"{task_of(run)}, {row['against']}",
            "run": name,
            "spent": row["spent"],
            "value": row["value"],
        }
        for name, run in compared.runs.items()
        for row in best_so_far.rows(run)
        if row["kind"] == "training"
    ]


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A staircase a run."""
    traces = [
        line(
            column(of, "spent"),
            column(of, "value"),
            name,
            PALETTE[place % len(PALETTE)],
            line={"shape": "hv"},
            hover="%{y:.5~g} after %{x:,.6~g}",
        )
        for place, (name, of) in enumerate(grouped(rows, "run").items())
    ]
    return figure(traces, str(rows[0]["panel"]).rpartition(", ")[2], axes.goal.name)
