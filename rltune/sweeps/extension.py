"""A finished sweep that continues: with more trials, longer training, or another target.

The request is changed, trials that ended at the old budget are opened again at their last
checkpoints, and from there the run is one that is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from ray.tune.experiment import Trial

from rltune import options, searchers
from rltune.catalog.algorithms import ALGORITHMS
from rltune.catalog.presets import spent
from rltune.errors import BadInput
from rltune.options import UNTIL_RETURN, Budget
from rltune.request.trust import check_trusted, is_own
from rltune.runs import state_file
from rltune.runs.folder import RunFolder, is_finished
from rltune.schedulers import row
from rltune.spec import Extension, RunSpec

#: Where the summary of before is kept.
EARLIER_SUMMARY = "summary.previous.json"
#: Reasons for which a sweep ends before its trials have.
CUT_SHORT = ("target", "time_budget", "total_steps", "failures")


def extended(folder: RunFolder, changes: Mapping[str, Any]) -> RunSpec:
    """The request of an extension.

    Args:
        changes: new values of ``trials``, ``steps``, ``total_steps``, ``target`` and
            ``time_budget``, by name.

    Raises:
        BadInput: the run cannot be extended, or not by that; with every problem.
    """
    spec, job = folder.spec, folder.job
    if not is_finished(folder):
        raise BadInput(
            f"{folder.shown} is not finished: wait while it runs, or continue it with: "
            f"rltune resume {folder.shown}"
        )
    if job.job != "sweep":
        raise BadInput(
            f"{folder.shown} trains fixed settings, it is no sweep: start another run with more "
            "seeds or steps instead"
        )
    if not is_own(folder):
        check_trusted(folder, resumes=True)
        raise BadInput(f"{folder.shown} is not signed by this user: add `trust=True`")
    problems = list(options.problems(Budget, changes).values())
    if not problems:
        problems = _problems(spec, changes) or _nothing_left(folder, changes)
    if problems:
        raise BadInput(problems)
    before = Extension(date=datetime.now(UTC).strftime("%Y-%m-%d"), budget=asdict(spec.budget))
    budget = replace(spec.budget, **changes)
    return replace(spec, budget=budget, extensions=(*spec.extensions, before))


def _problems(spec: RunSpec, changes: Mapping[str, Any]) -> list[str]:
    budget, found = spec.budget, []
    for name in ("trials", "steps", "total_steps"):
        now = getattr(budget, name)
        if now is None or changes.get(name, now) >= now:
            continue
        if now == UNTIL_RETURN:
            found.append("steps: the run has no limit of them, its trials end by themselves")
        else:
            found.append(f"{name} of the run are {now:,}: an extension has more")
    same = [name for name in changes if changes[name] == getattr(budget, name)]
    if changes and len(same) == len(changes):
        found += [f"{name}: the run has {changes[name]} already" for name in same]
    if not changes:
        found.append(
            "nothing to extend by: give `trials`, `steps`, `total_steps`, `target` or `time_budget`"
        )
    steps = changes.get("steps", budget.steps)
    if steps > budget.steps and not row(budget.scheduler).extends:
        found.append(
            f"steps: {budget.scheduler} has planned all of the run by its {budget.steps:,} steps: "
            "extend it by `trials`, or start another run"
        )
    more = changes.get("trials", budget.trials) > budget.trials
    if more and budget.controls:
        found.append("trials: the last ones of this run are its controls. Extend it by `steps`")
    if more and searchers.SEARCHERS[budget.searcher].plans:
        found.append(f"trials: searcher {budget.searcher} has planned all of the run")
    if spec.algo in ALGORITHMS:
        each = steps // len(spec.singles)
        found += spent(ALGORITHMS[spec.algo], spec.settings, each)
    return found


def _nothing_left(folder: RunFolder, changes: Mapping[str, Any]) -> list[str]:
    """Why a run would end at once: its trials have all trained enough, or a limit is spent."""
    budget, summary = folder.spec.budget, folder.summary
    assert summary is not None
    limit = summary.stop_reason
    if limit in ("time_budget", "total_steps") and changes.get(limit) is None:
        now = getattr(budget, limit)
        return [f"the run has spent its {limit} of {now:,}, and would end at once: give more of it"]
    more = any(changes.get(name, 0) > getattr(budget, name) for name in ("trials", "steps"))
    if more or summary.stop_reason in CUT_SHORT:
        return []
    return ["nothing is left to train: every trial has ended. Give `trials` or `steps`, too"]


def reopen(folder: RunFolder, spec: RunSpec) -> RunFolder:
    """Makes a finished run one that is to be resumed, with another request.

    A crash in between leaves a run that ``resume`` ends as it had ended, or extends.

    Returns:
        The folder, read again.
    """
    state = state_file.read(folder.path) or {}
    again = _ended_by_budget(folder, spec, state)
    trials = [
        {**body, "status": _opened(body) if body["id"] in again else body["status"]}
        for body in state.get("trials", [])
    ]
    parts = {name: dict(part) for name, part in state.get("parts", {}).items()}
    parts["ending"] = {"reached": [], "final_saved": False}
    if "history" in parts:
        parts["history"]["trials"] = [
            {**past, "status": "running", "ended_before": None} if past["id"] in again else past
            for past in parts["history"]["trials"]
        ]
    (folder.path / "summary.json").rename(folder.path / EARLIER_SUMMARY)
    state_file.write(folder.path, {**state, "trials": trials, "parts": parts})
    folder.change_request(spec)
    return RunFolder(folder.path)


def _opened(trial: Mapping[str, Any]) -> str:
    """The status of a trial that continues; the end of its sweep kept some from starting at all."""
    return str(Trial.PENDING if trial["checkpoint"] is None else Trial.PAUSED)


def _ended_by_budget(folder: RunFolder, spec: RunSpec, state: Mapping[str, Any]) -> set[str]:
    """Trials that ended for no reason of their own, and have steps left of the new budget."""
    summary = folder.summary
    assert summary is not None
    before = folder.spec.budget.steps
    stopped = {decision.trial for decision in folder.decisions() if decision.kind == "stop"}
    return {
        body["id"]
        for body in state.get("trials", [])
        if body["status"] == Trial.TERMINATED
        and (body["checkpoint"] is not None or not body["env_steps"])
        and body["id"] not in stopped
        and folder.diverged(body["id"]) is None
        and body["env_steps"] < spec.budget.steps
        and (body["env_steps"] >= before or summary.stop_reason in CUT_SHORT)
    }
