"""Runs as ``rltune list runs`` shows them: when they were started, how they stand, what is next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from rltune.errors import BadInput
from rltune.reports.numbers import number
from rltune.runs.folder import RunFolder, is_finished
from rltune.runs.remote import location
from rltune.runs.remote.store import AT_A_TIME, Store, told
from rltune.runs.summary_record import Summary

RUNS_NOTE = (
    "started: UTC; score: of the best policy on fresh episodes, of a function its best report; "
    "next: what to type, with the run behind it, as rltune show RUN"
)

#: Files of a run that are read here.
NEEDED = ("run.json", "phases.jsonl", "summary.json")


def runs(storage: str) -> list[dict[str, Any]]:
    """Every run of a storage, a folder or a URL, the newest last."""
    if location.is_url(storage):
        found = _runs_in_store(location.storage(storage))
    else:
        paths = sorted(location.local(storage).glob("*/run.json"))
        found = [_run(RunFolder(path.parent)) for path in paths]
    return sorted(found, key=lambda row: str(row["started"]))


def _runs_in_store(url: str) -> list[dict[str, Any]]:
    """Those of a store, which answers slowly, but many at a time."""
    with told(url):
        names = Store(url).folders()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        rows = pool.map(lambda name: _run_in_store(RunFolder(f"{url}/{name}")), names)
        return [row for row in rows if row is not None]


def _run_in_store(folder: RunFolder) -> dict[str, Any] | None:
    """A run in a store; None for a folder that is no run."""
    assert folder.remote is not None
    folder.remote.fetch(only=NEEDED)
    return _run(folder) if folder.has("run.json") else None


def listed(row: dict[str, Any]) -> dict[str, str]:
    """A run's line of the table."""
    return {
        "run": row["run"],
        "started": row["started"],
        "state": row["state"],
        "score": number(row["score"]),
        "next": row["next"] or "-",
    }


def _run(folder: RunFolder) -> dict[str, Any]:
    """All that is listed of a run; one whose files are damaged says so."""
    summary, ended = None, None
    try:
        state, following = standing(folder)
        summary = folder.summary
        ended = "not finished" if summary is None else summary.stop_reason
    except BadInput as error:
        ended = state = f"damaged: {error.problems[0]}"
        following = None
    return {
        "run": folder.shown,
        "started": started(folder),
        "state": state,
        "score": None if summary is None else _score(summary),
        "env_steps": None if summary is None else summary.env_steps,
        "ended by": ended,
        "next": following,
    }


def standing(folder: RunFolder) -> tuple[str, str]:
    """How a run stands, and the command that is next, without the run's name.

    Raises:
        BadInput: its files are damaged.
    """
    _ = folder.spec
    if folder.is_held:
        phases = folder.phases()
        return f"running: {phases[-1].name}" if phases else "running", "watch"
    summary = folder.summary
    if summary is None:
        return "stopped", "resume"
    if not is_finished(folder):
        return "not scored in full", "resume"
    return f"ended: {summary.stop_reason}", "show"


def started(folder: RunFolder) -> str:
    """The minute in which a run was started, UTC; "-" of earlier versions, which do not tell."""
    try:
        phases = folder.phases()
    except BadInput:
        phases = []
    if not phases:
        return "-"  # the time of a file would be that of a copy
    seconds = phases[0].time
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _score(summary: Summary) -> float | None:
    """Of the best policy, on fresh seeds; of a function's run, what it reported."""
    if summary.evaluation is not None:
        return summary.evaluation.mean
    return summary.best.score if summary.best else None
