"""What settings all over the space came to."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from rltune.cli.outcome.sweep import Fitted
from rltune.cli.outcome.words import heading
from rltune.reports.numbers import number, setting
from rltune.reports.words import landscape_in_words
from rltune.runs.summary_record import LandscapeOutcome, Summary
from rltune.spec import RunSpec

#: Settings that are shown; summary.json and the table have all.
SHOWN = 5


def landscape(spec: RunSpec, summary: Summary, found: LandscapeOutcome) -> list[RenderableType]:
    """The best settings by the median of their seeds, and how many are nearly as good."""
    best = (summary.settings or [])[:SHOWN]
    scores = [sorted(score for score in one.scores if score is not None) for one in best]
    if spec.goal.mode == "min":
        scores = [of_one[::-1] for of_one in scores]
    columns = [
        ("median", [number(one.judged) for one in best]),
        ("worst", [number(of_one[0]) if of_one else "-" for of_one in scores]),
        ("best", [number(of_one[-1]) if of_one else "-" for of_one in scores]),
        *((name, [setting(one.config.get(name)) for one in best]) for name in spec.space),
    ]
    words = landscape_in_words(found)
    return [
        heading("Best settings, by the median of their seeds"),
        Fitted(columns, 3, [None] * len(best)),
        Text(words[:1].upper() + words[1:]),
        Text(f"all curves: {spec.name}/{found.table}"),
    ]
