"""The members of a sweep, one line each, with as many columns as fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.text import Text

from rltune.live.progress import Member, Progress
from rltune.live.sparkline import sparkline
from rltune.live.text import Signs, cut, fitted
from rltune.reports.numbers import number, setting
from rltune.runs.records import Decision, Report

#: Width of a curve, at least and at most.
CURVE = (8, 16)
#: Share of the members that is marked as better, and as worse: what a population copies.
QUARTER = 0.25
#: Blue and yellow are told apart by people who cannot tell red from green; so are the arrows.
BETTER, WORSE = "bold cyan", "yellow"
STATES = {"failed": "magenta", "diverged": "magenta", "waiting": "dim", "stopped": "dim"}


class Table:
    """One line a member, with as many columns as fit."""

    def __init__(self, progress: Progress, width: int, room: int, signs: Signs) -> None:
        self.progress, self.width, self.signs = progress, width, signs
        self.members = chosen(progress, room)
        self.left_out = len(progress.seen) - len(self.members)
        self.better, self.worse = quarters(progress)

    def lines(self) -> list[Text]:
        """The head, the members, and what is not shown."""
        columns = self._columns()
        rows = [self._joined([column[place] for column in columns]) for place in self._places()]
        rows[0].stylize("dim")
        rest = []
        if self.left_out:
            rest.append(f"and {self.left_out} more trials" if self.left_out > 1 else "and 1 more")
        if self._hidden:
            rest.append(f"{self._hidden} setting{'s' * (self._hidden > 1)} not shown")
        if rest:
            rows.append(cut(self.signs.dot.join(rest), self.width, self.signs, "dim"))
        return rows

    def _places(self) -> range:
        return range(len(self.members) + 1)

    def _joined(self, cells: Sequence[Text]) -> Text:
        line = Text("  ").join(cells)
        line.rstrip()
        return line

    def _columns(self) -> list[list[Text]]:
        """Those that fit, each padded: always who and how good, then the others by their weight."""
        columns = [self._trials(), self._states(), self._steps(), self._returns()]
        while len(columns) > 2 and self._used(columns) > self.width:
            columns.pop(1)
        curve = min(CURVE[1], self.width - self._used(columns) - 2)
        if curve >= CURVE[0]:
            columns.insert(-2, self._curves(CURVE[0] if self.width < 100 else curve))
        room = self.width - self._used(columns) - 2
        if any(member.changed for member in self.members) and room >= len("<- t00"):
            columns.append(self._changes(room))
        self._hidden = 0
        for name in self._settings():
            column = self._column(name, [self._setting(m, name) for m in self.members], right=True)
            if self._used(columns) + 2 + column[0].cell_len <= self.width:
                columns.append(column)
            else:
                self._hidden += 1
        return columns

    def _used(self, columns: Sequence[Sequence[Text]]) -> int:
        return sum(column[0].cell_len for column in columns) + 2 * (len(columns) - 1)

    def _column(self, title: str, cells: Iterable[str | Text], right: bool = False) -> list[Text]:
        column = [Text(title), *(Text(c) if isinstance(c, str) else c for c in cells)]
        width = max(cell.cell_len for cell in column)
        for cell in column:
            missing = width - cell.cell_len
            cell.pad_left(missing) if right else cell.pad_right(missing)
        return column

    def _trials(self) -> list[Text]:
        best = self.progress.best
        marks = [self.signs.best if m.last is best else " " for m in self.members]
        cells = [Text(f"{mark} {m.id}") for mark, m in zip(marks, self.members, strict=True)]
        for cell, mark in zip(cells, marks, strict=True):
            cell.stylize(BETTER if mark.strip() else "")
        return self._column("  trial", cells)

    def _states(self) -> list[Text]:
        words = [self.progress.state(member) for member in self.members]
        return self._column("state", [Text(word, STATES.get(word, "")) for word in words])

    def _steps(self) -> list[Text]:
        return self._column("steps", [f"{m.last.env_steps:,}" for m in self.members], right=True)

    def _returns(self) -> list[Text]:
        """The metric, with an arrow at the better and the worse ones."""
        goal, cells = self.progress.goal, []
        for member in self.members:
            value = number(goal.of(member.last.measured))
            if member.id in self.better:
                cells.append(Text(f"{value} {self.signs.up}", BETTER))
            elif member.id in self.worse:
                cells.append(Text(f"{value} {self.signs.down}", WORSE))
            else:
                cells.append(Text(f"{value}  "))
        return self._column(f"{goal.words.removeprefix('mean ')}  ", cells, right=True)

    def _curves(self, width: int) -> list[Text]:
        goal = self.progress.goal
        curves = [
            [value for row in member.rows[-width:] if (value := goal.of(row.measured)) is not None]
            for member in self.members
        ]
        finite = [value for curve in curves for value in curve if math.isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=0.0)
        return self._column(
            "curve".ljust(width),
            [sparkline(c, low, high, width=width, blocks=self.signs.blocks) for c in curves],
        )

    def _changes(self, room: int) -> list[Text]:
        told = [change(member, room, self.signs) for member in self.members]
        return self._column("last change"[:room], told)

    def _settings(self) -> list[str]:
        """The searched settings, those first that differ between members."""
        names = list(self.progress.spec.space)
        values = {n: {self._setting(m, n) for m in self.members} for n in names}
        return [n for n in names if len(values[n]) > 1] + [n for n in names if len(values[n]) == 1]

    def _setting(self, member: Member, name: str) -> str:
        value = member.last.settings.get(name)
        text = "-" if value is None else setting(value)
        return text if len(text) <= CURVE[1] else text[: CURVE[1] - 1] + self.signs.more


def change(member: Member, room: int, signs: Signs) -> str:
    """From whom a member's weights came last, and which settings changed with them."""
    decision = member.changed
    if decision is None:
        return ""
    start = f"<- {decision.donor}" if decision.donor else "set"
    return start + fitted(_differences(member, decision, signs), room - len(start), " ", signs)


def _differences(member: Member, decision: Decision, signs: Signs) -> list[str]:
    before: Report | None = next(
        (row for row in reversed(member.rows) if row.env_steps <= decision.env_steps), None
    )
    old = {} if before is None else before.settings
    pairs = [(name, old.get(name), value) for name, value in decision.effective.items()]
    return [
        f"{name} {_short(was)}{signs.arrow}{_short(value)}"
        for name, was, value in pairs
        if was is not None and was != value
    ]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else setting(value)


def quarters(progress: Progress) -> tuple[set[str], set[str]]:
    """Names of the better and of the worse members, by their last scores."""
    scores = {m.id: progress.score(m.last) for m in progress.seen if m.rows}
    scores = {name: score for name, score in scores.items() if score > -math.inf}
    order = sorted(scores, key=lambda name: scores[name], reverse=True)
    count = max(1, int(len(order) * QUARTER))
    if len(order) < 2:
        return set(), set()
    middle = scores[order[len(order) // 2]] if len(order) > 2 else None
    low, high = scores[order[-1]], scores[order[0]]
    better = {name for name in order[:count] if scores[name] > low and scores[name] != middle}
    worse = {name for name in order[-count:] if scores[name] < high and scores[name] != middle}
    return better, worse - better


def chosen(progress: Progress, room: int) -> list[Member]:
    """The members that are shown: all by name, or the best, the worst and those that just changed.

    The worst are looked for among those that still run.
    """
    seen = sorted(progress.seen, key=lambda member: member.number)
    if len(seen) <= room:
        return seen
    by_score = sorted(seen, key=lambda member: progress.score(member.last), reverse=True)
    changed = sorted(
        (m for m in seen if m.touched), key=lambda member: member.touched, reverse=True
    )
    worst = [member for member in reversed(by_score) if not member.ended]
    shares = [*by_score[: max(1, room // 3)], *changed[: room // 3], *worst[: max(1, room // 6)]]
    picked = dict.fromkeys(member.id for member in [*shares, *by_score][: room * 3])
    names = list(picked)[:room]
    return [member for member in by_score if member.id in names]
