"""Parallel coordinates: what the best trials have in common."""

from __future__ import annotations

from rltune.reports.numbers import number
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, grouped
from rltune.reports.plots.ink import GREY, ORANGE, SCALE, figure, line

#: Groups of trials by their rank, from the worst to the best.
GROUPS = ("worst fifth", "fourth", "third", "second", "best fifth")


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A line a trial across one axis a setting, in five colours by rank; the winner on top.

    A click on a group in the legend hides it.
    """
    rows = [*rows, *_scores(rows)]
    settings = list(grouped(rows, "setting"))
    trials = grouped(rows, "trial")
    by_score = sorted(trials.values(), key=lambda of: axes.goal.score(of[0]["score"]))
    traces, count = [], len(by_score)
    for place, (name, colour) in enumerate(zip(GROUPS, SCALE, strict=True)):
        part = by_score[count * place // 5 : count * (place + 1) // 5]
        traces.append(_lines(part, name, colour, 1.2))
    traces.append(_lines([of for of in by_score if of[0]["wins"]], "the winner", ORANGE, 3))
    places = range(len(settings))
    low, high = min(r["score"] for r in rows), max(r["score"] for r in rows)
    ends = [axes.ticks(name)[1] for name in settings[:-1]] + [[number(low), number(high)]]
    labels = [
        {
            "x": place,
            "y": y,
            "text": shown[end],
            "showarrow": False,
            "yanchor": "bottom" if y > 0.5 else "top",
        }
        for place, shown in zip(places, ends, strict=True)
        for y, end in ((1.02, -1), (-0.02, 0))
    ]
    poles = [
        {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1}}
        for x in places
    ]
    return figure(
        traces,
        "",
        "",
        xaxis={
            "tickvals": list(places),
            "ticktext": [*settings[:-1], axes.goal.name],
            "showgrid": False,
        },
        yaxis={"visible": False, "range": [-0.12, 1.12]},
        annotations=labels,
        shapes=poles,
        height=380,
    )


def _scores(rows: list[Row]) -> list[Row]:
    """One more axis: the score of each trial, on the range of all."""
    first = {row["trial"]: row for row in rows}
    low, high = min(r["score"] for r in rows), max(r["score"] for r in rows)
    width = high - low or 1.0
    return [
        {**row, "setting": "\0", "position": (row["score"] - low) / width} for row in first.values()
    ]


def _lines(trials: list[list[Row]], name: str, colour: str, width: float) -> dict[str, object]:
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    for of in trials:
        x += [*range(len(of)), None]
        y += [*(row["position"] for row in of), None]
        text += [*(f"{row['trial']}: {number(row['score'])}" for row in of), None]
    return line(x, y, name, colour, width, text=text, hover="%{text}", opacity=0.8)
