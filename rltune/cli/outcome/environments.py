"""The score in each environment, as a person reads it."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table

from rltune.reports.environments import rows
from rltune.reports.numbers import bounds, number
from rltune.runs.summary_record import Evaluation
from rltune.spec import RunSpec


def environments(spec: RunSpec, evaluation: Evaluation) -> list[RenderableType]:
    """A table with a row for each environment; nothing of a run that has one."""
    found = rows(spec, evaluation)
    if not found:
        return []
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("environment", "normalized", "95 % interval", "return", "random", "threshold"):
        table.add_column(name, justify="left" if name == "environment" else "right")
    for one in found:
        table.add_row(
            one.name,
            number(one.normalized),
            bounds(one.normalized_ci95),
            number(one.mean),
            number(one.random),
            number(one.threshold),
        )
    return [table]
