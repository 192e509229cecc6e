"""The end of a run: the best policy evaluated, summary.json and best/preset.toml written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from rltune.callbacks.base import Callbacks, EvaluationStarted, SweepEnded
from rltune.errors import NothingUsable
from rltune.runs.folder import RunFolder
from rltune.runs.front import front, last_values
from rltune.runs.names import number_of
from rltune.runs.records import Failure, Report
from rltune.runs.summary_record import Spent, Summary, TrialOutcome
from rltune.spec import RunSpec
from rltune.sweeps.jobs.base import Job
from rltune.tasks.base import Task

#: The status of a trial in which something was not finite and nobody overwrote it.
DIVERGED = "DIVERGED"


def finish(
    job: Job,
    folder: RunFolder,
    callbacks: Callbacks,
    statuses: Mapping[str, str],
    reason: str,
    wall_seconds: float,
    slots: int | None = None,
    scored: float = 0.0,
    processes: int | None = None,
) -> None:
    """Evaluates the best checkpoint and writes what came out.

    What the environment does not let be scored is named in the summary, as ``unscored``; the rest
    stands.

    Args:
        statuses: of each trial, by its id.
        reason: why the sweep ended.
        slots: trials at a time; None where that is not known.
        scored: seconds that an earlier try to score took.
        processes: that held the trials, where they trained as batches.

    Raises:
        NothingUsable: no trial left a checkpoint, or not every seed, or no score is finite; the
            summary is written all the same.
    """
    spec = job.spec
    rows = {name: folder.reports(name) for name in folder.trials()}
    lost = [row for name in rows for row in folder.discarded(name)]
    every = [row for of_trial in rows.values() for row in of_trial] + lost
    env_steps = sum(row.env_steps_this_iter for row in every)
    trials = [
        _trial_outcome(name, status, rows.get(name, []), folder.failures(name), spec)
        for name, status in sorted(statuses.items(), key=lambda item: number_of(item[0]))
    ]
    summary = Summary(
        best=None,
        evaluation=None,
        env_steps=env_steps,
        wall_seconds=round(wall_seconds, 2),
        env_steps_per_second=round(env_steps / wall_seconds, 1),
        trials=trials,
        stop_reason=reason,
        metric=spec.metric,
        mode=spec.mode,
        objective=list(spec.objective) or None,
        front=front(trials, spec.goals) if spec.objective else None,
    )
    if job.task.evaluates:
        callbacks.notify(EvaluationStarted(spec.evaluation.episodes))
    nothing = None
    scoring = time.monotonic()
    try:
        summary = job.conclude(folder, summary, callbacks)
    except NothingUsable as error:
        summary = replace(summary, unscored=error.unscored)
        why = None if error.unscored else _why_nothing(summary.trials, job.task)
        nothing = NothingUsable(why or str(error), error.unscored)
    if slots is not None:
        spent = _spent(rows, wall_seconds, slots, scored + time.monotonic() - scoring)
        spent = replace(spent, processes=processes)
        summary = replace(summary, spent=spent)
    callbacks.notify(SweepEnded(summary))
    if nothing is not None:
        raise nothing


def score_again(job: Job, folder: RunFolder, callbacks: Callbacks) -> None:
    """Scores a run whose training is done, and writes its summary once more.

    Raises:
        NothingUsable: as :func:`finish`.
    """
    summary = folder.summary
    assert summary is not None
    statuses = {trial.id: trial.status for trial in summary.trials}
    slots, scored, processes = None, 0.0, None
    if summary.spent is not None:
        slots, scored = summary.spent.slots, summary.spent.score
        processes = summary.spent.processes
    seconds, reason = summary.wall_seconds, summary.stop_reason
    finish(job, folder, callbacks, statuses, reason, seconds, slots, scored, processes)


def _spent(
    rows: Mapping[str, list[Report]], wall_seconds: float, slots: int, score: float
) -> Spent:
    """Where the time went, by what trials say of their own training."""
    every = [row for of_trial in rows.values() for row in of_trial]
    first = min(every, key=lambda row: row.wall_seconds, default=None)
    start = wall_seconds if first is None else max(0.0, first.wall_seconds - first.train_seconds)
    own = [max(row.train_seconds for row in of_trial) for of_trial in rows.values() if of_trial]
    train = min(sum(own) / slots, wall_seconds - start)
    return Spent(
        slots=slots,
        start=round(start, 2),
        train=round(train, 2),
        wait=round(max(0.0, wall_seconds - start - train), 2),
        score=round(score, 2),
    )


def _why_nothing(trials: list[TrialOutcome], task: Task) -> str | None:
    errors = [f"{trial.id}: {trial.error}" for trial in trials if trial.error]
    if trials and all(trial.status == DIVERGED for trial in trials):
        return f"every trial diverged; {errors[0]}. {task.remedy}"
    return f"no trial left a {task.outcome} behind; {errors[0]}" if errors else None


def _trial_outcome(
    name: str, status: str, rows: list[Report], failures: list[Failure], spec: RunSpec
) -> TrialOutcome:
    goal = spec.goal
    scores = [value for row in rows if (value := goal.of(row.measured)) is not None]
    diverged = rows[-1].diverged if rows else None
    error = failures[-1].error if failures and status == "ERROR" else None
    if diverged:
        status, scores, error = DIVERGED, [], str(diverged)
    return TrialOutcome(
        id=name,
        status=status,
        env_steps=rows[-1].env_steps if rows else 0,
        score=scores[-1] if scores else None,
        config=rows[-1].settings if rows else {},
        error=error,
        failures=failures,
        objectives=last_values(rows, spec.goals) if spec.objective else {},
    )
