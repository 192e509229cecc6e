"""Ink that all plots share: colours, lines, dots and axes, as plotly's JSON has them.

Only ``scatter`` and ``bar`` traces with what is here: :mod:`rltune.reports.static` draws the same
with matplotlib. Text and grid have no colour of their own: the page gives them one, by day and by
night.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rltune.reports.plots.base import Figure, Row

#: Colours that a colour-blind person tells apart (after Okabe and Ito 2008), legible on white and
#: on black.
BLUE, ORANGE, GREEN, PURPLE, SKY, RED = (
    *("#2f7fc1", "#e08a1e", "#159e77", "#b878b8", "#56b4e9", "#d55e2b"),
)
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
GREY = "#8b929c"
#: From bad to good (cividis, without its ends).
SCALE = ("#48587a", "#6b6d76", "#8d8878", "#b5a76f", "#e0c95c")
#: Height of a figure in pixels.
HEIGHT = 320


def figure(traces: Iterable[dict[str, Any]], x: str, y: str, **layout: Any) -> Figure:
    """A figure with named axes.

    Args:
        x, y: titles of the axes.
        layout: further entries of the layout; those of ``xaxis`` and ``yaxis`` are added.
    """
    axes = {
        "xaxis": {"title": {"text": x}, "automargin": True, "zeroline": False},
        "yaxis": {"title": {"text": y}, "automargin": True, "zeroline": False},
    }
    for name, axis in axes.items():
        axis |= layout.pop(name, {})
    return {
        "data": list(traces),
        "layout": {
            "height": HEIGHT,
            "margin": {"l": 56, "r": 12, "t": 12, "b": 44},
            "hovermode": "closest",
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            **axes,
            **layout,
        },
    }


def line(
    x: Sequence[Any],
    y: Sequence[Any],
    name: str = "",
    colour: str = BLUE,
    width: float = 2,
    **more: Any,
) -> dict[str, Any]:
    """A line; a gap where y is None. Without a name it is not in the legend."""
    style = {"color": colour, "width": width, **more.pop("line", {})}
    return _trace(x, y, name, mode="lines", line=style, **more)


def dots(
    x: Sequence[Any], y: Sequence[Any], name: str = "", colour: Any = BLUE, **more: Any
) -> dict[str, Any]:
    """Dots; their marker's further entries in ``marker``."""
    marker = {"color": colour, "size": 7, **more.pop("marker", {})}
    return _trace(x, y, name, mode="markers", marker=marker, **more)


def bars(labels: Sequence[str], values: Sequence[float], hover: str) -> dict[str, Any]:
    """Horizontal bars, the first on top where the axis is reversed."""
    return {
        "type": "bar",
        "orientation": "h",
        "x": list(values),
        "y": list(labels),
        "marker": {"color": BLUE},
        "showlegend": False,
        "hovertemplate": f"{hover}<extra></extra>",
    }


def _trace(x: Sequence[Any], y: Sequence[Any], name: str, **more: Any) -> dict[str, Any]:
    hover = more.pop("hover", "")
    shown = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
    trace = {"type": "scatter", "x": list(x), "y": list(y), "name": name, "showlegend": bool(name)}
    return {**trace, **shown, **more}


def intervals(rows: Iterable[Row], heights: Iterable[float]) -> dict[str, Any]:
    """The 95 % intervals of rows that have one, from ``low`` to ``high``, each at a height."""
    known = [pair for pair in zip(rows, heights, strict=True) if pair[0]["low"] is not None]
    return line(
        [value for row, _ in known for value in (row["low"], row["high"], None)],
        [value for _, height in known for value in (height, height, None)],
        "95 % interval",
        BLUE,
        4,
        opacity=0.4,
    )


def listed(names: Sequence[str]) -> dict[str, Any]:
    """A vertical axis with a name at each whole number, the first on top."""
    places = list(range(len(names)))
    ends = [len(names) - 0.5, -0.5]
    return {"tickvals": places, "ticktext": list(names), "range": ends}


def joined(groups: Iterable[Sequence[Row]], *names: str) -> list[list[Any]]:
    """Columns of several groups of rows, a None between two of them: one trace, many lines."""
    columns: list[list[Any]] = [[] for _ in names]
    for rows in groups:
        for values, name in zip(columns, names, strict=True):
            values.extend([*(row[name] for row in rows), None])
    return columns
