"""The lineage of a population: who copied whom, when, and what changed."""

from __future__ import annotations

from rltune.reports.numbers import setting
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column
from rltune.reports.plots.ink import BLUE, GREY, ORANGE, dots, figure, line
from rltune.reports.run_view import RunView
from rltune.runs.records import Decision

#: Kinds of rows.
MEMBER, EXPLOIT = "member", "exploit"


def rows(run: RunView) -> list[Row]:
    """A row for each member's life, ``env_steps`` long, and one for each exploit.

    An exploit's ``trial`` copied the weights that ``donor`` had at ``donor_env_steps``; ``change``
    tells the settings before and after. ``champion``: whether they became the winner's, or for a
    member, whether it is the winner.
    """
    exploits = [decision for decision in run.decisions if decision.moved_weights]
    if not exploits or not run.reports:
        return []
    bred = {(part.trial, part.begin) for part in run.champion if part.donor}
    members = [
        _row(MEMBER, trial, reports[-1].env_steps, champion=trial == run.winner)
        for trial, reports in run.reports.items()
    ]
    copies = [
        _row(
            EXPLOIT,
            one.trial,
            one.env_steps,
            donor=one.donor or "",
            donor_env_steps=one.env_steps if one.donor_env_steps is None else one.donor_env_steps,
            change=_change(run, one),
            champion=(one.trial, one.env_steps) in bred,
        )
        for one in exploits
    ]
    return members + copies


def _row(kind: str, trial: str, env_steps: int, **more: object) -> Row:
    empty = {"donor": "", "donor_env_steps": None, "change": "", "champion": False}
    return {"kind": kind, "trial": trial, "env_steps": env_steps, **empty, **more}


def _change(run: RunView, exploit: Decision) -> str:
    """The donor's settings, and what the clone made of them."""
    donor = run.reports.get(exploit.donor or "", [])
    at = exploit.donor_env_steps or exploit.env_steps
    known = [row.settings for row in donor if row.env_steps <= at]
    before = known[-1] if known else {}
    changes = [
        f"{name} {setting(before.get(name))} → {setting(value)}"
        for name, value in exploit.effective.items()
        if before.get(name) != value
    ]
    return ", ".join(changes) or "no change"


def ink(rows: list[Row], axes: Axes) -> Figure:
    """Members as horizontal lines, exploits as lines from the donor's to the clone's."""
    members = [row for row in rows if row["kind"] == MEMBER]
    exploits = [row for row in rows if row["kind"] == EXPLOIT]
    names = column(members, "trial")
    height = {name: place for place, name in enumerate(names)}
    exploits = [row for row in exploits if {row["trial"], row["donor"]} <= height.keys()]
    traces = [
        line(
            [value for row in members for value in (0, row["env_steps"], None)],
            [value for name in names for value in (height[name], height[name], None)],
            colour=GREY,
            width=1,
        ),
        _copies([row for row in exploits if not row["champion"]], height, "a copy", GREY, 1.5),
        _copies(
            [row for row in exploits if row["champion"]], height, "in the winner's line", BLUE, 3
        ),
    ]
    traces.append(
        dots(
            column(exploits, "env_steps"),
            [height[row["trial"]] for row in exploits],
            "exploit: hover for the change",
            ORANGE,
            text=[f"{row['trial']} copied {row['donor']}: {row['change']}" for row in exploits],
            hover="step %{x:,}<br>%{text}",
        )
    )
    labels = [f"{row['trial']} ★" if row["champion"] else row["trial"] for row in members]
    shown = range(0, len(names), max(1, len(names) // 30))
    axis = {
        "tickvals": list(shown),
        "ticktext": [labels[place] for place in shown],
        "range": [len(names) - 0.4, -0.6],
    }
    size = max(220, 90 + 26 * min(len(names), 30))
    return figure(
        [trace for trace in traces if trace["x"]],
        f"{axes.clock} of the trial",
        "",
        yaxis=axis,
        height=size,
    )


def _copies(
    exploits: list[Row], height: dict[str, int], name: str, colour: str, width: float
) -> dict[str, object]:
    x = [v for row in exploits for v in (row["donor_env_steps"], row["env_steps"], None)]
    y = [v for row in exploits for v in (height[row["donor"]], height[row["trial"]], None)]
    return line(x, y, name, colour, width)
