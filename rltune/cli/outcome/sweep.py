"""What a sweep came to: who won, by which schedule, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from rltune.cli.outcome.environments import environments
from rltune.cli.outcome.words import heading, interval_in_words, optimism, verdict
from rltune.live.progress import STATES
from rltune.live.text import UTF8
from rltune.reports.champion import facts
from rltune.reports.confidence import beside_controls, confidence
from rltune.reports.leaderboard import Standing, leaderboard
from rltune.reports.numbers import number, setting
from rltune.reports.run_view import RunView
from rltune.reports.words import defaults_in_words, episodes_in_words, outcome_in_words
from rltune.runs.bounds import on_bounds
from rltune.runs.lineage import Segment
from rltune.runs.summary_record import BestPolicy, Evaluation, SettingOutcome, Summary
from rltune.spec import RunSpec

#: Rows of a table that are shown; summary.json has all.
SHOWN = 8
#: Signs of a bound, after the value that lies on it.
ARROWS = {"lowest": "↓", "highest": "↑"}
#: Marks the trial with the best policy, as in the live table and in the report.
STAR = UTF8.best


def best(run: RunView, summary: Summary) -> list[RenderableType]:
    """Everything about a sweep's winner."""
    spec, found, schedule = run.spec, summary.best, run.champion
    assert found is not None
    standings = leaderboard(spec, summary, run.reports)
    return [
        *_leaderboard(spec, standings),
        *_front(run),
        *_settings(spec, found),
        *_schedule(spec, schedule),
        *_race(spec, summary.settings or []),
        heading("Score"),
        *(_score(spec, summary) if spec.plays else _reported(spec, found)),
        *_sure(spec, summary),
        *_notes(facts(spec, summary, schedule, run.reports)),
    ]


def _notes(found: Sequence[str]) -> list[RenderableType]:
    texts = [Text(fact, style="yellow") for fact in found]
    return [heading("Note"), *texts] if texts else []


@dataclass(frozen=True)
class Fitted:
    """A table whose last columns are left out where the window is too narrow for all of them.

    No value is cut: a part of a number would read as another number.

    Attributes:
        columns: a title over its cells; the first ones are never left out.
        fixed: how many those are.
        styles: of the rows.
        what: the columns that can be left out, in a word.
    """

    columns: Sequence[tuple[str, Sequence[str]]]
    fixed: int
    styles: Sequence[str | None]
    what: str = "settings"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [max(len(title), *map(len, cells)) + 2 for title, cells in self.columns]
        count = len(self.columns)
        while count > self.fixed and sum(widths[:count]) > options.max_width + 2:
            count -= 1
        table = Table(box=None, pad_edge=False, header_style="dim")
        for place, (title, _) in enumerate(self.columns[:count]):
            justify = "left" if place < 2 else "right"
            table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        for place, style in enumerate(self.styles):
            table.add_row(*(cells[place] for _, cells in self.columns[:count]), style=style)
        yield from console.render(table, options.update(width=max(options.max_width, sum(widths))))
        if left := len(self.columns) - count:
            yield Text(f"and {left} more {self.what}, see summary.json", style="dim")


def _leaderboard(spec: RunSpec, standings: Sequence[Standing]) -> list[RenderableType]:
    """The trials beside each other; nothing where there was one."""
    if len(standings) < 2:
        return []
    shown = standings[:SHOWN]
    gains = any(one.gain is not None for one in standings)
    columns = [
        ("trial", [one.trial + f" {STAR}" * one.is_best for one in shown]),
        ("state", [STATES.get(one.status, one.status.lower()) for one in shown]),
        ("steps", [f"{one.env_steps:,}" for one in shown]),
        (spec.goal.words.removeprefix("mean "), [number(one.score) for one in shown]),
    ]
    if gains:
        columns.append(("gain", [_signed(one.gain) for one in shown]))
    fixed = len(columns)
    columns += [(name, [_marked(one, name) for one in shown]) for name in spec.space]
    styles = ["green" if one.is_best else None for one in shown]
    notes = [f"{STAR} has the best {outcome_in_words(spec)}"]
    notes.append(
        f"gain: over {defaults_in_words(spec)} after as many steps"
        if gains
        else f"no gains: no trial kept {defaults_in_words(spec)} for so long"
    )
    if spec.budget.controls:
        notes.append(f"controls, never copied or changed: t{spec.budget.first_control:02d} and on")
    if any(one.on_bounds for one in shown):
        notes.append(f"{ARROWS['lowest']} {ARROWS['highest']}: on a bound of its range")
    if len(standings) > SHOWN:
        notes.insert(0, f"and {len(standings) - SHOWN} more trials")
    return [
        heading("Leaderboard"),
        Fitted(columns, fixed, styles),
        Text("; ".join(notes), style="dim"),
    ]


def _front(run: RunView) -> list[RenderableType]:
    """The trials that none beats in all objectives, where there are several."""
    spec, shown = run.spec, run.front[:SHOWN]
    if not shown:
        return []
    columns = [("trial", [one.trial + f" {STAR}" * (one.trial == run.winner) for one in shown])]
    columns += [
        (str(goal), [number(one.values[goal.name]) for one in shown]) for goal in spec.goals
    ]
    fixed = len(columns)
    columns += [(n, [setting(one.config.get(n)) for one in shown]) for n in spec.space]
    styles = ["green" if one.trial == run.winner else None for one in shown]
    told = f"{STAR} is the one with the best {outcome_in_words(spec)} by {spec.goal}"
    if len(run.front) > SHOWN:
        told = f"and {len(run.front) - SHOWN} more, see summary.json; {told}"
    count = f"{len(run.front)} of {len(run.objectives)} trials"
    return [
        heading(f"Pareto front: {count}, which none beats in all objectives"),
        Fitted(columns, fixed, styles),
        Text(told, style="dim"),
    ]


def _signed(gain: float | None) -> str:
    return "-" if gain is None else f"{'+' if gain > 0 else ''}{number(gain)}"


def _marked(one: Standing, name: str) -> str:
    value = setting(one.settings[name]) if name in one.settings else "-"
    return value + ARROWS.get(one.on_bounds.get(name, ""), "")


def _settings(spec: RunSpec, found: BestPolicy) -> list[RenderableType]:
    """The settings in effect when the best policy was saved."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_column(style="yellow")
    marks = on_bounds(spec, found.config)
    for name in spec.space:
        mark = f"{marks[name]} of its range" if name in marks else ""
        table.add_row(name, setting(found.config.get(name)), mark)
    title = f"Best settings ({found.trial} after {found.env_steps:,} steps)"
    return [heading(title), table, *_advice(list(marks))]


def _advice(names: Sequence[str]) -> list[RenderableType]:
    """What to do about settings on a bound of their range."""
    if not names:
        return []
    ranges = "the range" if len(names) == 1 else "the ranges"
    return [
        Text(
            f"Better values may lie outside: widen {ranges} of {', '.join(names)} with --space",
            style="yellow",
        )
    ]


def _schedule(spec: RunSpec, schedule: Sequence[Segment]) -> list[RenderableType]:
    """The segments of training that made the best policy, where there was more than one."""
    if len(schedule) < 2:
        return []
    # The first one says where it started from; those between are the first to go.
    shown = [schedule[0], *schedule[1:][-(SHOWN - 1) :]]
    columns = [
        ("steps", [f"{part.first:,} to {part.last:,}" for part in shown]),
        (
            "trial",
            [f"{part.trial} <- {part.donor}" if part.donor else part.trial for part in shown],
        ),
    ]
    names = [name for name in spec.space if name in schedule[0].settings]
    names.sort(key=lambda name: not any(name in part.change for part in schedule))
    columns += [(name, [setting(part.settings.get(name)) for part in shown]) for name in names]
    rows: list[RenderableType] = [
        heading(f"How the best {outcome_in_words(spec)} was trained"),
        Fitted(columns, 2, [None] * len(shown)),
    ]
    if len(schedule) > SHOWN:
        left = f"and {len(schedule) - SHOWN} segments after the first, see decisions.jsonl"
        rows.append(Text(left, style="dim"))
    return rows


def _race(spec: RunSpec, settings: Sequence[SettingOutcome]) -> list[RenderableType]:
    """The settings that had more than one seed, the best first, as far as there are any."""
    raced = [one for one in settings if len(one.trials) > 1]
    if not raced:
        return []
    raced.sort(key=lambda one: (len(one.trials), _judged(spec, one)), reverse=True)
    budget = spec.budget
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("trials", budget.judge, *(f"seed {n + 1}" for n in range(budget.seeds_per_trial))):
        table.add_column(name, justify="left" if name == "trials" else "right")
    for one in raced[:SHOWN]:
        scores = [number(score) for score in one.scores]
        table.add_row(", ".join(one.trials), number(one.judged), *scores)
    few = f"{len(raced)} of {len(settings)} settings had more than one seed"
    return [heading(f"{spec.metric} by seed: {few}"), table]


def _judged(spec: RunSpec, one: SettingOutcome) -> float:
    return -math.inf if one.judged is None else spec.goal.score(one.judged)


def _reported(spec: RunSpec, found: BestPolicy) -> list[RenderableType]:
    """What the function reported with the best checkpoint."""
    return [Text("none" if found.score is None else f"{number(found.score)} {spec.goal}")]


def _score(spec: RunSpec, summary: Summary) -> list[RenderableType]:
    """What the best policy reached on fresh seeds."""
    score: Evaluation | None = summary.evaluation
    if score is None:
        return [Text("none yet")]
    interval = interval_in_words(score.ci95, "episodes")
    of = episodes_in_words(spec)
    return [
        Text(f"{number(score.mean)} {spec.goal.words}, {interval}, IQM {number(score.iqm)}"),
        Text(f"over {score.episodes} {of} on seeds no training used{verdict(spec, score)}"),
        *environments(spec, score),
        *optimism(summary.optimism_gap, score.mean, score.ci95),
    ]


def _sure(spec: RunSpec, summary: Summary) -> list[RenderableType]:
    """How sure it is that the winner is the better one."""
    found = [Text(one.sentence) for one in confidence(spec, summary)]
    if found and summary.settings is None:
        note = "of these policies, one training run each: fresh seeds tell of their settings"
        found.append(Text(note, style="dim"))
    if told := beside_controls(spec, summary):
        found.append(Text(told))
    return [heading("How sure"), *found] if found else []
