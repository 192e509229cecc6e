"""Each setting by itself, against what the trials came to."""

from __future__ import annotations

from rltune.reports.numbers import setting
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column
from rltune.reports.plots.ink import BLUE, GREY, ORANGE, dots, figure


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A dot a trial; the winner's is larger."""
    rows = [row for row in rows if row["position"] is not None]
    traces = []
    for wins, colour, size in ((False, BLUE, 6), (True, ORANGE, 12)):
        part = [row for row in rows if row["wins"] is wins]
        text = [f"{row['trial']}: {setting(row['value'])}" for row in part]
        x, y = column(part, "position"), column(part, "score")
        marker = {"size": size, "opacity": 0.75, "line": {"width": 1, "color": GREY}}
        traces.append(
            dots(x, y, "", colour, text=text, hover="%{text}<br>%{y:.5~g}", marker=marker)
        )
    name = rows[0]["setting"] if rows else ""
    axis = axes.of(name) if name else {}
    return figure(traces, "", axes.goal.name, xaxis=axis, height=250)
