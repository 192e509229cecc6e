"""The path of each hyperparameter through a population."""

from __future__ import annotations

from typing import Any

from rltune.reports.numbers import setting
from rltune.reports.plots.axes import Axes, position
from rltune.reports.plots.base import Figure, Row, column, grouped
from rltune.reports.plots.ink import BLUE, GREY, ORANGE, dots, figure, joined, line
from rltune.reports.run_view import RunView


def rows(run: RunView) -> list[Row]:
    """``setting``, ``trial``, the ``env_steps`` from which it had the ``value``, and its ``donor``.

    The last row of a trial repeats its value at its last report.
    """
    if not any(decision.kind in ("exploit", "change") for decision in run.decisions):
        return []
    taken = {(one.trial, one.env_steps): one.donor for one in run.decisions if one.moved_weights}
    found: list[Row] = []
    for name in run.spec.space:
        parameter = run.spec.space[name]
        for trial in run.reports:
            path = _path(run, trial, name)
            found += [
                {
                    "setting": name,
                    "trial": trial,
                    "env_steps": at,
                    "value": value,
                    "position": position(parameter, value),
                    "donor": taken.get((trial, at), "") or "",
                    "wins": trial == run.winner,
                }
                for at, value in path
            ]
    return found


def _path(run: RunView, trial: str, name: str) -> list[tuple[int, Any]]:
    """Where a trial's setting changed, its start and its end included."""
    reports = run.reports[trial]
    path = [(0, reports[0].settings.get(name))]
    changes = [one for one in run.decisions if one.trial == trial and one.effective]
    for decision in changes:
        if decision.kind in ("exploit", "change") and not decision.error:
            path.append((decision.env_steps, decision.effective.get(name)))
    return [*path, (reports[-1].env_steps, reports[-1].settings.get(name))]


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A staircase for each member, the winner's on top; dots where a member copied another."""
    hover, name = "%{text}", rows[0]["setting"]
    rows = [{**row, "words": _words(row)} for row in rows]
    trials = grouped(rows, "trial")
    traces = []
    for wins, label, colour, width in (
        (False, "other members", GREY, 1.2),
        (True, "the winner", BLUE, 2.5),
    ):
        chosen = [part for part in trials.values() if part[0]["wins"] is wins]
        x, y, text = joined(chosen, "env_steps", "position", "words")
        shape = {"shape": "hv"}
        traces.append(line(x, y, label, colour, width, line=shape, text=text, hover=hover))
    copied = [row for row in rows if row["donor"]]
    words = [f"{row['words']}, copied from {row['donor']}" for row in copied]
    x, y = column(copied, "env_steps"), column(copied, "position")
    traces.append(dots(x, y, "exploit", ORANGE, text=words, hover=hover, marker={"size": 5}))
    drawn = [trace for trace in traces if trace["x"]]
    return figure(drawn, axes.clock, "", yaxis=axes.of(name), height=230, showlegend=False)


def _words(row: Row) -> str:
    return f"{row['trial']}: {setting(row['value'])} from step {row['env_steps']:,}"
