"""One plot of a run's report by its name, as plotly has it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rltune.errors import BadInput, unknown
from rltune.reports.plots.base import Plot
from rltune.reports.plots.table import OF_A_RUN
from rltune.reports.run_view import RunView

#: The plots of a run by name.
PLOTS: dict[str, Plot[RunView]] = {
    plot.name: plot for section in OF_A_RUN.values() for plot in section
}


def figure(run: RunView, name: str, facet: str | None = None) -> Any:
    """Draws a plot.

    Args:
        facet: which one of a plot of several figures; the first by default.

    Returns:
        A ``plotly.graph_objects.Figure``.

    Raises:
        BadInput: there is no such plot or facet, or the plot does not apply to the run.
    """
    if name not in PLOTS:
        raise unknown("plot", name, PLOTS)
    plot = PLOTS[name]
    rows = plot.rows(run)
    if not rows:
        reason = plot.missing(run) or f"it has nothing to show of {run.folder.shown}"
        raise BadInput(f"plot {name}: {reason}")
    figures = plot.figures(plot.thin(rows), run.axes)
    facet = next(iter(figures)) if facet is None else facet
    if facet not in figures:
        raise unknown(f"part of the plot {name}", facet, map(str, figures))
    # Imported here: a sweep's start does not wait for it.
    return import_module("plotly.graph_objects").Figure(figures[facet])
