"""What went wrong in a run: failures, retries, divergences, and what has no score."""

from __future__ import annotations

from rltune.reports.plots.base import Row
from rltune.reports.run_view import RunView


def troubles(run: RunView) -> list[Row]:
    """``trial``, ``what`` happened, ``env_steps`` on its clock, the ``cause``, what ``then``."""
    found = [
        _row(trial, "failed", one.env_steps, one.error, _then(one.tried_again))
        for trial, failures in run.failures.items()
        for one in failures
    ]
    for trial, reports in run.reports.items():
        if end := reports[-1].diverged:
            found.append(
                _row(trial, "diverged", end.env_steps, str(end), "stopped, never the best")
            )
    for decision in run.decisions:
        if decision.error:
            found.append(
                _row(
                    decision.trial,
                    f"{decision.kind} failed",
                    decision.env_steps,
                    decision.error,
                    "given up",
                )
            )
    for trial, rows in run.discarded.items():
        steps = sum(row.env_steps_this_iter for row in rows)
        cause = "a failure or the end of the sweep's process"
        found.append(
            _row(trial, "lost work", rows[0].env_steps, cause, f"{steps:,} steps repeated")
        )
    for one in run.summary.unscored if run.summary else []:
        then = "another try brings the same" if one.final else "`rltune resume` tries again"
        found.append(_row(one.trial, f"no score in {one.phase}", None, one.error, then))
    return found


def _then(tried_again: bool | None) -> str:
    return {True: "tried again", False: "given up", None: ""}[tried_again]


def _row(trial: str, what: str, env_steps: int | None, cause: str, then: str) -> Row:
    return {"trial": trial, "what": what, "env_steps": env_steps, "cause": cause, "then": then}
