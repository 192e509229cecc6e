"""Draws the page's figures without a browser, with matplotlib.

It knows what :mod:`rltune.reports.plots.ink` makes, and no more of plotly than that.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rltune.errors import BadInput
from rltune.reports.plots.base import Figure

#: Pixels of the page to an inch.
DPI = 96
#: Inches of a picture's width.
WIDTH = 8.0
GREY = "#626a73"
MARKERS = {"circle": "o", "diamond": "D"}
DASHES = {"dash": "--"}


def check_can_draw() -> None:
    """Raises BadInput where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise BadInput("plots as files need matplotlib: pip install 'rltune[plots]'")


def draw(figure: Figure, title: str, path: Path) -> int:
    """Draws a figure into a file, whose suffix says how: .svg or .png.

    Returns:
        The number of traces in the picture.
    """
    matplotlib: Any = import_module("matplotlib")
    layout = figure["layout"]
    plain = {"svg.fonttype": "none", "svg.hashsalt": "rltune", "text.parse_math": False}
    with matplotlib.rc_context({**plain, "axes.unicode_minus": False}):
        canvas = import_module("matplotlib.figure").Figure(
            figsize=(WIDTH, layout["height"] / DPI + 0.3), layout="constrained"
        )
        axes = canvas.add_subplot()
        for trace in figure["data"]:
            _trace(axes, trace)
        _axis(axes, "x", layout["xaxis"])
        _axis(axes, "y", layout["yaxis"])
        _extras(canvas, axes, layout)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        form = path.suffix.removeprefix(".")
        metadata = {"Date": None} if form == "svg" else {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # of a script that its font lacks
            canvas.savefig(path, format=form, dpi=2 * DPI, metadata=metadata)
    shapes = len(layout.get("shapes", []))
    return len(axes.lines) - shapes + len(axes.collections) + len(axes.containers)


def _trace(axes: Any, trace: dict[str, Any]) -> None:
    label = trace.get("name") if trace.get("showlegend") else None
    if trace["type"] == "bar":
        axes.barh(trace["y"], trace["x"], color=trace["marker"]["color"], label=label)
        return
    x, y = (_gaps(trace[name]) for name in ("x", "y"))
    alpha = trace.get("opacity", 1)
    if trace["mode"] == "lines":
        style = trace["line"]
        axes.plot(
            x,
            y,
            color=style["color"],
            linewidth=0.75 * style["width"],
            linestyle=DASHES.get(style.get("dash", ""), "-"),
            drawstyle="steps-post" if style.get("shape") == "hv" else "default",
            alpha=alpha,
            label=label,
        )
        return
    marker = trace["marker"]
    axes.scatter(
        x,
        y,
        s=(0.75 * marker["size"]) ** 2,
        c=marker["color"],
        marker=MARKERS[marker.get("symbol", "circle")],
        alpha=alpha * marker.get("opacity", 1),
        label=label,
        zorder=3,
    )


def _gaps(values: Sequence[Any]) -> list[Any]:
    return [float("nan") if value is None else value for value in values]


def _axis(axes: Any, which: str, axis: dict[str, Any]) -> None:
    """Sets up the x or the y axis as plotly's JSON says."""
    if axis.get("visible") is False:
        getattr(axes, f"{which}axis").set_visible(False)
    one = getattr(axes, f"{which}axis")
    one.set_label_text(axis["title"]["text"], color=GREY)
    axes.tick_params(axis=which, colors=GREY, labelsize=9)
    one.set_major_formatter("{x:,.6g}")
    if "tickvals" in axis:
        one.set_ticks(axis["tickvals"], labels=[str(text) for text in axis["ticktext"]])
    if "tickformat" in axis:
        one.set_major_formatter(lambda value, _: f"{value:.0%}")
    if "range" in axis:
        getattr(axes, f"set_{which}lim")(*axis["range"])
    if axis.get("autorange") == "reversed":
        one.set_inverted(True)
    if axis.get("showgrid", True):
        one.grid(color="#e3e1dc", linewidth=0.7)


def _extras(canvas: Any, axes: Any, layout: dict[str, Any]) -> None:
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    for shape in layout.get("shapes", []):
        x, y, style = (shape["x0"], shape["x1"]), (shape["y0"], shape["y1"]), shape["line"]
        axes.plot(x, y, color=style["color"], linewidth=style["width"])
    for note in layout.get("annotations", []):
        edge = {"bottom": "bottom", "top": "top"}[note["yanchor"]]
        axes.text(note["x"], note["y"], note["text"], ha="center", va=edge, fontsize=9)
    labelled = axes.get_legend_handles_labels()[1]
    if labelled and layout.get("showlegend", True):
        columns = min(len(labelled), 4)
        canvas.legend(loc="outside lower left", ncols=columns, frameon=False, fontsize=9)
