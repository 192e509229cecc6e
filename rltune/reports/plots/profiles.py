"""Performance profiles (Agarwal et al. 2021, arXiv 2108.13264, section 4.2)."""

from __future__ import annotations

from collections import Counter

from rltune.reports.comparison import Comparison
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column, grouped
from rltune.reports.plots.ink import PALETTE, figure, line


def rows(compared: Comparison) -> list[Row]:
    """``share`` of an entry's scores that are as good as each ``score`` of its ``panel``."""
    goal = compared.goal
    levels: dict[str, set[float]] = {}
    members = Counter(entry.panel for entry in compared.entries if len(entry.scores) > 1)
    for entry in compared.entries:
        levels.setdefault(entry.panel, set()).update(entry.scores)
    return [
        {
            "panel": entry.panel,
            "group": entry.name,
            "score": level,
            "share": sum(goal.reaches(score, level) for score in entry.scores) / len(entry.scores),
        }
        for entry in compared.entries
        if len(entry.scores) > 1 and members[entry.panel] > 1 and len(levels[entry.panel]) > 1
        for level in sorted(levels[entry.panel])
    ]


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A falling staircase an entry; the higher one is better."""
    traces = [
        line(
            column(of, "score"),
            column(of, "share"),
            name,
            PALETTE[place % len(PALETTE)],
            line={"shape": "vh"},
            hover="%{y:.0%} reach %{x:.5~g}",
        )
        for place, (name, of) in enumerate(grouped(rows, "group").items())
    ]
    share = {"range": [-0.02, 1.04], "tickformat": ".0%"}
    return figure(traces, axes.goal.name, "share that is as good", yaxis=share)
