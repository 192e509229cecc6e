"""Scores over training seeds: is it the settings, or one lucky run?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column, grouped
from rltune.reports.plots.ink import GREY, ORANGE, dots, figure, intervals, listed
from rltune.reports.run_view import RunView
from rltune.reports.words import ARMS
from rltune.statistics import interval, iqm

#: Settings of a race over seeds that are drawn.
MOST_SETTINGS = 12
SEED, IQM = "seed", "IQM"


def rows(run: RunView) -> list[Row]:
    """``group`` (an arm, settings, all seeds), ``kind`` ("seed" or "IQM"), ``score``, interval."""
    return [row for name, scores in _groups(run).items() for row in group_rows(name, scores)]


def group_rows(name: str, scores: Sequence[float | None]) -> list[Row]:
    """The rows of a group: each score, and what they come to."""
    known = [score for score in scores if score is not None and math.isfinite(score)]
    if not known:
        return []
    low, high = interval(known, of=iqm)
    ends = {"low": None, "high": None} if math.isnan(low) else {"low": low, "high": high}
    none = {"low": None, "high": None}
    seeds = [{"group": name, "kind": SEED, "score": score, **none} for score in known]
    return [*seeds, {"group": name, "kind": IQM, "score": float(iqm(known)), **ends}]


def _groups(run: RunView) -> dict[str, Sequence[float | None]]:
    summary = run.summary
    if summary is None:
        return {}
    if summary.arms is not None:
        return {ARMS.get(name, name): arm.scores for name, arm in summary.arms.items()}
    if summary.across_seeds is not None:
        return {"all seeds": summary.across_seeds.scores}
    raced = [one for one in summary.settings or [] if len(one.trials) > 1]
    raced.sort(
        key=lambda one: (
            len(one.trials),
            -math.inf if one.judged is None else run.goal.score(one.judged),
        ),
        reverse=True,
    )
    return {", ".join(one.trials): one.scores for one in raced[:MOST_SETTINGS]}


def note(rows: list[Row]) -> str:
    """Says where seeds are too few for an interval."""
    few = any(row["kind"] == IQM and row["low"] is None for row in rows)
    return "An interval takes five scores." if few else ""


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A dot a seed, and the IQM with its interval."""
    names = list(grouped(rows, "group"))
    height = {name: place for place, name in enumerate(names)}
    kinds = grouped(rows, "kind")
    middle = kinds[IQM]
    traces = [intervals(middle, [height[row["group"]] for row in middle])]
    for kind, colour, marker in (
        (SEED, GREY, {"size": 8, "opacity": 0.8}),
        (IQM, ORANGE, {"size": 13, "symbol": "diamond"}),
    ):
        part = kinds[kind]
        at = [height[row["group"]] for row in part]
        hover = f"{kind}: %{{x:.5~g}}"
        traces.append(dots(column(part, "score"), at, kind, colour, hover=hover, marker=marker))
    return figure(
        [trace for trace in traces if trace["x"]],
        axes.goal.name,
        "",
        yaxis=listed(names),
        height=110 + 40 * len(names),
    )
