"""Scores of several runs: IQM and interval."""

from __future__ import annotations

from rltune.reports.comparison import Comparison
from rltune.reports.plots.base import Row
from rltune.reports.plots.seeds import group_rows


def rows(compared: Comparison) -> list[Row]:
    """The rows of :mod:`rltune.reports.plots.seeds`, by ``panel``, with the ``unit`` of a score."""
    return [
        {"panel": entry.panel, "unit": entry.unit, **row}
        for entry in compared.entries
        for row in group_rows(entry.name, entry.scores)
    ]


def note(rows: list[Row]) -> str:
    """Says what a score is of."""
    units = {str(row["unit"]) for row in rows}
    told = f"A dot is one of the {' or '.join(sorted(units))}."
    if "episodes" in units:
        told += (
            " Episodes of one policy tell how well that policy does, not how well its settings "
            "would train again: for that, train several seeds, or repeat the sweep with others."
        )
    return told
