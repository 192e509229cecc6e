"""A run in a few lines of HTML, as a notebook shows it: what came out, and its trials' curves."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from rltune.live.progress import STATES
from rltune.live.sparkline import sparkline
from rltune.reports.headline import score, verdict
from rltune.reports.leaderboard import Standing, leaderboard
from rltune.reports.numbers import number, setting
from rltune.reports.run_view import RunView

#: Rows, and points of a curve, that are shown.
ROWS, POINTS = 10, 24


def run_table(run: RunView) -> Markup:
    """The HTML of a run. What comes from its folder is escaped."""
    words = f"{verdict(run)} {', '.join(text for text in score(run).values() if text)}"
    text = Markup("<p><b>{}</b><br>{}</p>").format(run.folder.shown, words)
    if run.summary is None:
        return text
    standings = leaderboard(run.spec, run.summary, run.reports)
    names = list(run.spec.space)
    curve = "curve" if run.goal.mode == "max" else "curve (up is better)"
    titles = ["trial", "state", "steps", run.goal.name, "gain", curve, *names]
    rows = [_row(run, one, names) for one in standings[:ROWS]]
    body = Markup("").join([_cells("th", titles), *rows])
    table = Markup("<table>{}</table>").format(body)
    left = len(standings) - ROWS
    return text + table + (Markup("<p>and {} more</p>").format(left) if left > 0 else "")


def _row(run: RunView, one: Standing, names: Sequence[str]) -> Markup:
    scores = [score for name in run.reports for score in run.scores[name]]
    own = list(run.scores.get(one.trial, ()))
    step = max(1, len(own) // POINTS)
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    cells = [
        one.trial + " ★" * one.is_best,
        STATES.get(one.status, one.status.lower()),
        f"{one.env_steps:,}",
        number(one.score),
        number(one.gain),
        sparkline(own[::-step][::-1], low, high, width=POINTS),
        *(setting(one.settings[name]) if name in one.settings else "-" for name in names),
    ]
    return _cells("td", cells)


def _cells(tag: str, texts: Sequence[str]) -> Markup:
    """A row of a table."""
    cell = Markup(f"<{tag}>{{}}</{tag}>")
    return Markup("<tr>{}</tr>").format(Markup("").join(map(cell.format, texts)))
