"""The trials of a run beside each other, the best first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from rltune.metric import Metric
from rltune.runs.bounds import on_bounds
from rltune.runs.lineage import is_default
from rltune.runs.records import Report
from rltune.runs.summary_record import Summary, TrialOutcome
from rltune.spec import RunSpec


@dataclass(frozen=True)
class Standing:
    """How a trial stands.

    Attributes:
        status: Tune's word, or "DIVERGED".
        score: the metric in its last report that has it; None without one.
        gain: by how much that is better than the preset's defaults after as many environment
            steps, between two of their reports by interpolation, positive for the better; None
            where no trial kept the defaults for so long.
        settings: the searched ones in its last report.
        on_bounds: "lowest" or "highest" by the name of each setting on a bound of its range.
        is_best: whether the run's best policy is of this trial.
    """

    trial: str
    status: str
    env_steps: int
    score: float | None
    gain: float | None
    settings: Mapping[str, Any]
    on_bounds: Mapping[str, str] = field(default_factory=dict)
    is_best: bool = False


def leaderboard(
    spec: RunSpec, summary: Summary, reports: Mapping[str, Sequence[Report]]
) -> list[Standing]:
    """Every trial that has reported: the one with the best policy, then by score.

    The best policy is chosen by episodes that it plays, so another trial's last report may be
    better. Trials that failed or diverged are last.

    Args:
        reports: of each trial, by its id.
    """
    baseline = baseline_of(spec, reports)
    best = summary.best.trial if summary.best else None
    standings = [
        Standing(
            trial=trial.id,
            status=trial.status,
            env_steps=trial.env_steps,
            score=trial.score,
            gain=_gain(trial, baseline, spec.goal),
            settings=trial.config,
            on_bounds=on_bounds(spec, trial.config),
            is_best=trial.id == best,
        )
        for trial in summary.trials
        if trial.env_steps
    ]
    return sorted(standings, key=lambda one: _place(one, spec.goal))


def baseline_of(
    spec: RunSpec, reports: Mapping[str, Sequence[Report]]
) -> list[tuple[int, float | None]]:
    """The curve of the preset's defaults: of the trial that has kept them for the longest.

    Returns:
        (environment steps, metric) of each report; empty where no trial started at the defaults.
    """
    kept = [
        list(takewhile(lambda row: is_default(spec, row.settings), rows))
        for rows in reports.values()
    ]
    longest = max(kept, key=lambda rows: rows[-1].env_steps if rows else 0, default=[])
    return [(row.env_steps, spec.goal.of(row.measured)) for row in longest]


def _gain(
    trial: TrialOutcome, baseline: Sequence[tuple[int, float | None]], goal: Metric
) -> float | None:
    known = [(steps, value) for steps, value in baseline if value is not None]
    if trial.score is None or not known:
        return None
    steps, values = np.array(known, dtype=float).T
    # Trials do not report at the same steps: half an interval beyond the last report still counts.
    slack = float(np.median(np.diff(steps))) / 2 if len(known) > 1 else 0.0
    if not steps[0] - slack <= trial.env_steps <= steps[-1] + slack:
        return None
    return goal.score(trial.score - float(np.interp(trial.env_steps, steps, values)))


def _place(one: Standing, goal: Metric) -> tuple[bool, bool, float]:
    failed = one.status in ("ERROR", "DIVERGED")
    return not one.is_best, failed, math.inf if one.score is None else -goal.score(one.score)
