"""Plots made: rows and figures, in the sections they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Plot, Row

Source = TypeVar("Source")


@dataclass(frozen=True)
class Drawing:
    """A plot of one run, or of several.

    Attributes:
        plot: what it is.
        rows: all of them; empty where it cannot be made here.
        shown: those that the page draws.
        figures: by their facet; "" for the only one.
        note: what a reader must know; missing: why it cannot be made.
    """

    plot: Plot[Any]
    rows: Sequence[Row]
    shown: Sequence[Row]
    figures: Mapping[str, Figure]
    note: str
    missing: str

    def to_dict(self) -> dict[str, Any]:
        """As report.json has it: the rows that the page draws, as a table."""
        columns = list(self.shown[0]) if self.shown else []
        return {
            "name": self.plot.name,
            "title": self.plot.title,
            "question": self.plot.question,
            "note": self.note,
            "missing": self.missing,
            "columns": columns,
            "rows": [list(row.values()) for row in self.shown],
        }


#: Drawings by the heading that they stand under.
Sections = dict[str, list[Drawing]]


def drawn(sections: Mapping[str, Iterable[Plot[Source]]], source: Source, axes: Axes) -> Sections:
    """Every plot that applies, by section; sections without one are left out."""
    found = {
        title: [one for plot in plots if (one := _drawing(plot, source, axes))]
        for title, plots in sections.items()
    }
    return {title: drawings for title, drawings in found.items() if drawings}


def _drawing(plot: Plot[Source], source: Source, axes: Axes) -> Drawing | None:
    rows = plot.rows(source)
    missing = "" if rows else plot.missing(source)
    if not rows and not missing:
        return None
    shown = plot.thin(rows)
    note = plot.note(rows) if rows else ""
    return Drawing(plot, rows, shown, plot.figures(shown, axes), note, missing)
