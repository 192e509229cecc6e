"""Learning curves of every trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column, grouped
from rltune.reports.plots.ink import BLUE, GREY, PALETTE, figure, joined, line
from rltune.reports.run_view import RunView
from rltune.runs.lineage import Segment

#: Trials up to which each has a colour of its own.
COLOURED = len(PALETTE)
#: Points of all curves that a page shows, and of one curve at least.
MOST_POINTS, FEWEST_POINTS = 24_000, 60


def rows(run: RunView) -> list[Row]:
    """``trial``, its ``env_steps``, ``wall_seconds``, ``value``; whether the trial ``wins``.

    ``stretch`` numbers the reports of the weights that became the winner's; None elsewhere.
    """
    value_of = run.goal.of
    return [
        {
            "trial": trial,
            "env_steps": report.env_steps,
            "wall_seconds": report.wall_seconds,
            "value": value,
            "wins": trial == run.winner,
            "stretch": _stretch(run.champion, trial, report.env_steps),
        }
        for trial, reports in run.reports.items()
        for report in reports
        if (value := value_of(report.measured)) is not None and math.isfinite(value)
    ]


def _stretch(lived: Sequence[Segment], trial: str, env_steps: int) -> int | None:
    for place, part in enumerate(lived):
        if part.trial == trial and part.begin < env_steps <= part.end:
            return place
    return None


def thin(rows: list[Row]) -> list[Row]:
    """Keeps the lowest and the highest of each run of neighbours: no peak is lost."""
    curves = grouped(rows, "trial")
    each = max(FEWEST_POINTS, MOST_POINTS // max(1, len(curves)))
    return [row for curve in curves.values() for row in _extremes(curve, each)]


def _extremes(curve: list[Row], points: int) -> list[Row]:
    if len(curve) <= points:
        return curve
    inner, width = curve[1:-1], math.ceil(2 * (len(curve) - 2) / (points - 2))
    kept = [curve[0]]
    for at in range(0, len(inner), width):
        part = inner[at : at + width]
        places = range(len(part))
        low = min(places, key=lambda place: part[place]["value"])
        high = max(places, key=lambda place: part[place]["value"])
        kept += [part[place] for place in sorted({low, high})]
    return [*kept, curve[-1]]


def note(rows: list[Row]) -> str:
    """Says whether rows were left out."""
    shown = len(thin(rows))
    if shown == len(rows):
        return ""
    return (
        f"{shown:,} of {len(rows):,} reports are drawn: of every few neighbours the lowest and the "
        "highest. The CSV file of `rltune report --plots DIR` has all."
    )


def ink(rows: list[Row], axes: Axes) -> Figure:
    """Few trials have colours; of many the winner has one, the others are grey."""
    curves = grouped(rows, "trial")
    hover = "%{text}: %{y:.5~g} at step %{x:,}"
    if len(curves) <= COLOURED:
        by_place = sorted(curves, key=lambda one: not curves[one][0]["wins"])
        colours = dict(zip(by_place, PALETTE, strict=False))
        traces = [_curve(curve, trial, colours[trial], hover) for trial, curve in curves.items()]
    else:
        others = [curve for curve in curves.values() if not curve[0]["wins"]]
        x, y, text = joined(others, "env_steps", "value", "trial")
        traces = [line(x, y, "other trials", GREY, 1, text=text, hover=hover, opacity=0.45)]
        traces += [
            _curve(curve, f"{trial}, the winner", BLUE, hover)
            for trial, curve in curves.items()
            if curve[0]["wins"]
        ]
    stretches = grouped(rows, "stretch")
    parts = [of for stretch, of in stretches.items() if stretch is not None]
    if len(parts) > 1:
        x, y, text = joined(parts, "env_steps", "value", "trial")
        traces.append(
            line(x, y, "the winner's line of descent", BLUE, 7, text=text, hover=hover, opacity=0.3)
        )
    return figure(traces, f"{axes.clock} of the trial", axes.goal.name)


def _curve(curve: list[Row], name: str, colour: str, hover: str) -> dict[str, object]:
    x, y, text = (column(curve, key) for key in ("env_steps", "value", "trial"))
    width = 2.5 if curve[0]["wins"] else 1.5
    return line(x, y, name, colour, width, text=text, hover=hover)
