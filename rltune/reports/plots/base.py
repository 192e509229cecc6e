"""What a plot is: rows out of runs, then ink."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rltune.reports.plots.axes import Axes

#: A row of a plot's table: numbers, texts and None by column. All rows of a plot have the same.
Row = dict[str, Any]
#: A plotly figure as JSON has it: ``data`` and ``layout``.
Figure = dict[str, Any]

Source = TypeVar("Source")


@dataclass(frozen=True)
class Plot(Generic[Source]):
    """A plot of a run, or of several.

    Attributes:
        name: of its files.
        title: its heading; question: what it answers, in a sentence.
        rows: its table, from a run; empty where it does not apply.
        ink: its figure, from rows and what its axes need.
        facet: column whose values each have a figure of their own; empty for one figure.
        wide: whether figures of facets stand below each other.
        thin: leaves out rows that the page cannot show; the CSV file has all.
        note: what a reader must know about these rows, in a sentence.
        missing: why it cannot be made here, with what to do about it; empty where it can.
    """

    name: str
    title: str
    question: str
    rows: Callable[[Source], list[Row]]
    ink: Callable[[list[Row], Axes], Figure]
    facet: str = ""
    wide: bool = False
    thin: Callable[[list[Row]], list[Row]] = lambda rows: rows
    note: Callable[[list[Row]], str] = lambda rows: ""
    missing: Callable[[Source], str] = lambda run: ""

    def figures(self, rows: list[Row], axes: Axes) -> dict[str, Figure]:
        """Its figures, by their facet; "" for the only one."""
        if not self.facet:
            return {"": self.ink(rows, axes)} if rows else {}
        return {name: self.ink(part, axes) for name, part in grouped(rows, self.facet).items()}


def grouped(rows: Iterable[Row], column: str) -> dict[Any, list[Row]]:
    """Rows by their value in a column, in the order of its first appearance."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def column(rows: Iterable[Row], name: str) -> list[Any]:
    """The values of a column."""
    return [row[name] for row in rows]
