"""The trials by their objectives, and the front of those that none beats in all."""

from __future__ import annotations

from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column
from rltune.reports.plots.ink import BLUE, GREY, ORANGE, dots, figure, line
from rltune.reports.run_view import RunView


def rows(run: RunView) -> list[Row]:
    """``against`` (an objective), ``trial``, its ``value`` of that and ``first``, of the first one.

    ``front`` says whether it is on the front of all objectives; ``wins``, whether the best is its.
    Trials that failed, diverged or lack an objective are left out.
    """
    on_it = {point.trial for point in run.front}
    return [
        {
            "against": str(goal),
            "trial": trial,
            "value": values[goal.name],
            "first": values[run.goal.name],
            "front": trial in on_it,
            "wins": trial == run.winner,
        }
        for goal in run.spec.goals[1:]
        for trial, values in run.objectives.items()
    ]


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A dot a trial; the front in blue, of two objectives joined by steps, the winner larger."""
    on_it = sorted((row for row in rows if row["front"]), key=lambda row: row["value"])
    winner = [row for row in on_it if row["wins"]]
    groups = [
        ("dominated", [row for row in rows if not row["front"]], GREY, 7),
        ("on the front", [row for row in on_it if not row["wins"]], BLUE, 9),
        ("the best", winner, ORANGE, 13),
    ]
    traces = [
        dots(
            column(part, "value"),
            column(part, "first"),
            name,
            colour,
            text=column(part, "trial"),
            hover="%{text}: %{y:.5~g} at %{x:.5~g}",
            marker={"size": size},
        )
        for name, part, colour, size in groups
        if part
    ]
    path = line(column(on_it, "value"), column(on_it, "first"), "", BLUE, 1, opacity=0.5)
    return figure([path, *traces], rows[0]["against"], str(axes.goal))


def note(rows: list[Row]) -> str:
    """How many trials are on the front."""
    trials = {row["trial"]: row["front"] for row in rows}
    told = f"{sum(trials.values())} of {len(trials)} trials are on the front"
    several = len({row["against"] for row in rows}) > 1
    return told + (", which is that of all objectives together" if several else "")
