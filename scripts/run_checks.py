"""What must hold of a finished run, whatever happened to it on its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision, Report


def check_run(run: RunFolder) -> None:
    """Raises AssertionError with everything that does not hold."""
    found = problems(run)
    assert not found, found


def problems(run: RunFolder) -> list[str]:
    """What does not hold of a run: of its trials' ends, its counts, its decisions and its files."""
    return [*count_problems(run), *decision_problems(run), *state_problems(run), *leftovers(run)]


def count_problems(run: RunFolder) -> Iterator[str]:
    """Every trial ended at its budget, and all that was trained is counted once."""
    summary = run.summary
    if summary is None:
        yield "there is no summary"
        return
    for trial in summary.trials:
        if trial.status != "TERMINATED":
            yield f"{trial.id} is {trial.status}: {trial.error}"
    stopped = {line.trial for line in run.decisions() if line.kind == "stop"}
    for name in run.trials():
        yield from _report_problems(run.reports(name))
        if (
            steps := run.reports(name)[-1].env_steps
        ) < run.spec.budget.steps and name not in stopped:
            yield f"{name} ended after {steps} env steps"
    rows = [row for name in run.trials() for row in [*run.reports(name), *run.discarded(name)]]
    if summary.env_steps != (spent := sum(row.env_steps_this_iter for row in rows)):
        yield f"the summary has {summary.env_steps} env steps, the reports {spent}"
    seconds = [row.wall_seconds for row in rows]
    if min(seconds, default=0) < 0 or summary.wall_seconds < max(seconds, default=0):
        yield f"wall times of {min(seconds)} to {max(seconds)} s in {summary.wall_seconds} s"


def _report_problems(rows: list[Report]) -> Iterator[str]:
    before = 0
    for number, row in enumerate(rows, 1):
        # Episodes that are played to their end after an interval are not on the clock.
        if not before < row.env_steps <= before + row.env_steps_this_iter:
            yield f"{row.trial}: {row.env_steps} env steps follow {before}"
        if row.training_iteration != number:
            yield f"{row.trial}: report {number} is of iteration {row.training_iteration}"
        before = row.env_steps


def decision_problems(run: RunFolder) -> Iterator[str]:
    """Settings change where a decision says so and nowhere else, to what it says."""
    decisions = run.decisions()
    counts = Counter(line.key for line in decisions if line.kind != "restore")
    yield from (f"decision {key} is there {n} times" for key, n in counts.items() if n > 1)
    for trial in run.trials():
        acting = {line.env_steps: line for line in decisions if _acts(line, trial)}
        yield from _settings_problems(run.reports(trial), acting)


def _acts(line: Decision, trial: str) -> bool:
    return line.trial == trial and line.kind in ("exploit", "change") and not line.error


def _settings_problems(rows: list[Report], acting: dict[int, Decision]) -> Iterator[str]:
    before, settings = 0, rows[0].settings if rows else {}
    for row in rows:
        decision = acting.pop(before, None)
        expected = settings if decision is None else decision.effective
        if row.settings != expected:
            yield f"{row.trial}: {row.settings} after {before} env steps, not {expected}"
        if decision is not None and decision.effective != decision.requested:
            yield f"{row.trial}: the decision after {before} env steps had no effect"
        before, settings = row.env_steps, row.settings
    yield from (f"no report follows the decision {line.key}" for line in acting.values())


def state_problems(run: RunFolder) -> Iterator[str]:
    """What the saved state knows of exploits stands in decisions.jsonl, and nothing is open."""
    saved: dict[str, Any] = state_file.read(run.path) or {"trials": [], "parts": {}}
    parts = saved["parts"]
    yield from (f"still open: {line}" for line in parts.get("recorder", {}).get("open", ()))
    exploits = [line for line in run.decisions() if line.kind == "exploit"]
    for trial in saved["trials"]:
        own = [line for line in exploits if line.trial == trial["id"]]
        last = (own[-1].donor, own[-1].env_steps) if own else None
        kept = trial["config"].get("exploit")
        if kept and (kept["donor"], kept["env_steps"]) != last:
            yield f"{trial['id']}: the state's last exploit is {kept}, the log's {last}"
    for name, member in parts.get("scheduler", {}).get("members", {}).items():
        known = len(member.get("scores", ()))
        if "scores" in member and known != (ended := _intervals(run, name)):
            yield f"{name}: the scheduler knows {known} intervals of {ended}"


def _intervals(run: RunFolder, trial: str) -> int:
    """Intervals of a trial that were followed by another one."""
    every = run.spec.budget.perturb_every or 1
    return len({row.env_steps // every for row in run.reports(trial)[:-1]} - {0})


def leftovers(run: RunFolder) -> list[str]:
    """Files that only a process that runs should have."""
    own = {".lock", ".run.json.signature"}
    hidden = [path for path in run.path.rglob(".*") if path.name not in own]
    parts = list(run.path.rglob("*.part"))
    return [f"left: {path.relative_to(run.path)}" for path in [*hidden, *parts]]
