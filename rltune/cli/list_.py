"""``rltune list KIND``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from rltune import catalog, envs
from rltune.catalog.algorithms import ALGORITHMS, algorithm
from rltune.cli import console
from rltune.cli.listed_runs import RUNS_NOTE, listed, runs
from rltune.errors import BadInput, unknown
from rltune.policies import certificates
from rltune.reports.numbers import number
from rltune.schedulers import COMMANDS, SCHEDULERS
from rltune.searchers import SEARCHERS

Row = dict[str, Any]
Rows = list[Row]
#: Columns that are never folded: names that are typed.
_WHOLE = ("name", "env", "setting", "started", "next")


@dataclass(frozen=True)
class Asked:
    """What to list.

    Attributes:
        storage: folder of the runs, or its URL.
        algo: the algorithm whose settings or presets are listed; None for all presets.
    """

    storage: str
    algo: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of thing that is listed.

    Attributes:
        rows: all that is known of each, as JSON holds it.
        shown: a row of the table; None leaves the thing out of it.
        note: what the columns are, and what to type next.
        names: other words for the kind.
    """

    rows: Callable[[Asked], Rows]
    names: tuple[str, ...]
    shown: Callable[[Row], Row | None] = lambda row: row
    note: Callable[[Asked, Rows], str] = lambda asked, rows: ""


def _presets(asked: Asked) -> Rows:
    rows = []
    for algo, env in catalog.preset_names():
        if asked.algo in (None, algo):
            preset = catalog.preset(algo, catalog.environment(env))
            rows.append({"algo": algo, "env": env, "certificate": certificates.standing(preset)})
    return rows


def _certified(row: Row) -> Row | None:
    """A preset's certificate in a few columns; None without one."""
    body = row["certificate"]
    if body is None:
        return None
    return {
        "algo": row["algo"],
        "env": row["env"],
        "solved": certificates.in_words(body).partition(" seeds")[0] + " *" * body["stale"],
        "score": number(body["iqm"]),
        "threshold": number(body["threshold"]),
        "steps": number(body["env_steps_to_threshold"]),
        "time": _time(*certificates.share_of(body["seconds_to_threshold"], body)),
    }


def _time(seconds: float | None, mark: str) -> str:
    """What one seed took; of seeds that trained together its share, marked."""
    if seconds is None:
        return "-"
    if seconds >= 120:
        return f"{seconds / 60:.0f} min{mark}"
    return f"{seconds:.{0 if seconds >= 10 else 1}f} s{mark}"


def _presets_note(asked: Asked, rows: Rows) -> str:
    paragraphs = [
        "solved: seeds whose policy scores over the threshold, of all that were trained; score: "
        "their interquartile mean, of 100 fresh episodes each; steps, time: of training, median "
        "over the seeds, until a policy is over the threshold (-: half of them never were)"
    ]
    if any((row["certificate"] or {}).get("batch", "off") != "off" for row in rows):
        paragraphs.append("+: its share of the time of a batch of seeds; one alone takes longer")
    if any((row["certificate"] or {}).get("stale") for row in rows):
        paragraphs.append("*: the preset has changed since")
    for algo in sorted(ALGORITHMS):
        others = [row["env"] for row in rows if row["algo"] == algo and not row["certificate"]]
        if others:
            paragraphs.append(f"no certificate yet, {algo}: {', '.join(others)}")
    paragraphs.append("a preset's values: rltune show ALGO ENV; tune it: rltune ALGO ENV")
    return "\n".join(paragraphs)


def _algorithms(asked: Asked) -> Rows:
    return [
        {"name": a.name, "title": a.title, "actions": sorted(a.actions)}
        for a in ALGORITHMS.values()
    ]


def _environments(asked: Asked) -> Rows:
    return [
        {
            "name": s.name,
            "id": s.id,
            "threshold": s.threshold,
            "max_episode_steps": s.max_episode_steps,
            "family": s.family,
            "extra": s.extra,
            "threshold_reason": s.threshold_reason,
        }
        for s in envs.INFOS.values()
    ]


def _environment(row: Row) -> Row:
    return {
        "name": row["name"],
        "id": row["id"],
        "threshold": row["threshold"],
        "steps": row["max_episode_steps"],
        "needs": row["extra"],
    }


_ENVIRONMENTS_NOTE = (
    "threshold: mean return of a solved one; steps: of its longest episode; needs: an extra, "
    "pip install 'rltune[EXTRA]'. Any other gymnasium id works, and a class of yours: "
    "my_env.py:MyEnv"
)


def _schedulers(asked: Asked) -> Rows:
    here = [
        {"name": name, "what": row.doc, "options": list(row.options), "state": row.state}
        for name, row in SCHEDULERS.items()
    ]
    elsewhere = [
        {"name": name, "what": what, "options": [], "state": f"a command: {command}"}
        for name, (what, command) in COMMANDS.items()
    ]
    return here + elsewhere


def _searchers(asked: Asked) -> Rows:
    return [{"name": name, "what": row.doc, "state": row.state} for name, row in SEARCHERS.items()]


def _settings(asked: Asked) -> Rows:
    if asked.algo is None:
        known = " or ".join(f"rltune list settings {name}" for name in ALGORITHMS)
        raise BadInput(f"whose settings? {known}")
    return [
        {"setting": name, "meaning": one.doc, "structural": one.structural}
        for name, one in algorithm(asked.algo).settings.items()
    ]


def _setting(row: Row) -> Row:
    return {"setting": row["setting"], "meaning": row["meaning"]}


def _settings_note(asked: Asked, rows: Rows) -> str:
    return (
        "fix one: --set lr=1e-3; search one: --space 'lr={log=[1e-5,1e-2]}'\n"
        f"a preset's values: rltune show {asked.algo} ENV"
    )


KINDS = {
    "presets": Kind(_presets, ("preset",), _certified, _presets_note),
    "algorithms": Kind(_algorithms, ("algorithm", "algos", "algo")),
    "environments": Kind(
        _environments,
        ("environment", "envs", "env"),
        _environment,
        lambda *_: _ENVIRONMENTS_NOTE,
    ),
    "schedulers": Kind(_schedulers, ("scheduler",)),
    "searchers": Kind(_searchers, ("searcher", "samplers")),
    "settings": Kind(
        _settings, ("setting", "hyperparameters", "parameters"), _setting, _settings_note
    ),
    "runs": Kind(lambda asked: runs(asked.storage), ("run",), listed, lambda *_: RUNS_NOTE),
}
_NAMES = {other: name for name, kind in KINDS.items() for other in kind.names}
#: Kinds that are listed of one algorithm.
_OF_ALGORITHMS = ("presets", "settings")


def run(*, kind: str, algo: str | None, storage: str, json: bool) -> None:
    """Prints one kind of thing."""
    kind = _NAMES.get(kind.lower(), kind.lower())
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if algo is not None and kind not in _OF_ALGORITHMS:
        raise BadInput(f"`rltune list {kind}` lists all of them: leave {algo!r} out")
    asked = Asked(storage, None if algo is None else algorithm(algo).name)
    rows = KINDS[kind].rows(asked)
    if json:
        console.print_json({kind: rows})
        return
    out = console.output()
    if not rows:
        out.print(f"no runs in {storage}. Another folder: --storage DIR")
        return
    shown = [seen for row in rows if (seen := KINDS[kind].shown(row)) is not None]
    if shown:
        out.print(_table(shown))
    if note := KINDS[kind].note(asked, rows):
        out.print(f"\n{note}", style="dim")


def _table(rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in rows[0]:
        table.add_column(name, overflow="fold", no_wrap=name in _WHOLE)
    for row in rows:
        table.add_row(*map(_shown, row.values()))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return value if isinstance(value, str) else number(value)
