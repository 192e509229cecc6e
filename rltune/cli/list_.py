"""``rltune list KIND``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from rltune import catalog, envs
from rltune.catalog.algorithms import ALGORITHMS
from rltune.cli import console
from rltune.errors import BadInput, unknown
from rltune.policies import certificates
from rltune.reports.numbers import bounds, number
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary
from rltune.schedulers import COMMANDS, SCHEDULERS
from rltune.searchers import SEARCHERS

Rows = list[dict[str, Any]]
#: Too long for a table.
_IN_JSON_ALONE = {"family", "threshold_reason"}


def _presets(storage: Path) -> Rows:
    rows = []
    for algo, env in catalog.preset_names():
        preset = catalog.preset(algo, catalog.environment(env))
        rows.append({"algo": algo, "env": env, "certificate": certificates.standing(preset)})
    return rows


def _as_seen(row: dict[str, Any]) -> dict[str, Any]:
    """A preset's certificate in a few columns."""
    body = row["certificate"]
    over = certificates.in_words(body)
    seen = {"algo": row["algo"], "env": row["env"], "over threshold": over}
    if body is None:
        return {**seen, **dict.fromkeys(CERTIFICATE)}
    return {
        **seen,
        "threshold": body["threshold"],
        "IQM": body["iqm"],
        "95 % interval": bounds(body["ci95"]),
        "steps": body["env_steps_to_threshold"],
        "seconds": body["seconds_to_threshold"],
    }


#: The columns of a certificate; steps and seconds are those to the threshold.
CERTIFICATE = ("threshold", "IQM", "95 % interval", "steps", "seconds")


def _algorithms(storage: Path) -> Rows:
    return [
        {"name": a.name, "title": a.title, "actions": sorted(a.actions)}
        for a in ALGORITHMS.values()
    ]


def _environments(storage: Path) -> Rows:
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


def _schedulers(storage: Path) -> Rows:
    here = [
        {"name": name, "what": row.doc, "options": list(row.options), "state": row.state}
        for name, row in SCHEDULERS.items()
    ]
    elsewhere = [
        {"name": name, "what": what, "options": [], "state": f"a command: {command}"}
        for name, (what, command) in COMMANDS.items()
    ]
    return here + elsewhere


def _searchers(storage: Path) -> Rows:
    return [{"name": name, "what": row.doc, "state": row.state} for name, row in SEARCHERS.items()]


def _runs(storage: Path) -> Rows:
    return [_run(RunFolder(path.parent)) for path in sorted(storage.glob("*/run.json"))]


def _run(folder: RunFolder) -> dict[str, Any]:
    """A run's line; one whose files are damaged says so."""
    try:
        _ = folder.spec
        summary, ended = folder.summary, "not finished"
    except BadInput as error:
        summary, ended = None, f"damaged: {error.problems[0]}"
    if summary is None:
        return {"run": folder.shown, "score": None, "env_steps": None, "ended by": ended}
    return {
        "run": folder.shown,
        "score": _score(summary),
        "env_steps": summary.env_steps,
        "ended by": summary.stop_reason,
    }


def _score(summary: Summary) -> float | None:
    """Of the best policy, on fresh seeds; of a function's run, what it reported."""
    if summary.evaluation is not None:
        return summary.evaluation.mean
    return summary.best.score if summary.best else None


KINDS = {
    "presets": _presets,
    "algorithms": _algorithms,
    "environments": _environments,
    "schedulers": _schedulers,
    "searchers": _searchers,
    "runs": _runs,
}


def run(*, kind: str, storage: str, json: bool) -> None:
    """Prints one kind of thing."""
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    rows = KINDS[kind](Path(storage))
    if json:
        console.print_json({kind: rows})
        return
    out = console.output()
    if not rows:
        out.print(f"no {kind}")
        return
    if kind == "presets":
        rows = [_as_seen(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="dim")
    names = [name for name in rows[0] if name not in _IN_JSON_ALONE]
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_shown(row[name]) for name in names))
    out.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return value if isinstance(value, str) else number(value)
