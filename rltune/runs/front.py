"""The Pareto front of a run with several objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rltune.metric import Metric
from rltune.runs.records import Report
from rltune.runs.summary_record import FrontPoint, TrialOutcome

#: Trials that are on no front, whatever they reported.
_LOST = ("ERROR", "DIVERGED")


def last_values(rows: Sequence[Report], goals: Sequence[Metric]) -> dict[str, float | None]:
    """The last finite value of each objective in a trial's reports; None without one."""
    measured = [row.numbers for row in reversed(rows)]
    return {
        goal.name: next(
            (v for of in measured if (v := goal.of(of)) is not None and math.isfinite(v)), None
        )
        for goal in goals
    }


def whole(trial: TrialOutcome, goals: Sequence[Metric]) -> dict[str, float]:
    """A trial's values of all objectives; empty where it lacks one, failed or diverged."""
    known = {name: value for name, value in trial.objectives.items() if value is not None}
    lost = trial.status in _LOST or not all(goal.name in known for goal in goals)
    return {} if lost else known


def front(trials: Sequence[TrialOutcome], goals: Sequence[Metric]) -> list[FrontPoint]:
    """Trials that none dominates, the best by the first objective first; equal ones are all on it.

    A trial dominates another that it is better than in one objective and not worse in any. Trials
    that failed or diverged, or lack an objective, are not on the front and dominate nobody.
    """
    values = {trial.id: of for trial in trials if (of := whole(trial, goals))}
    scores = {
        name: tuple(goal.score(of[goal.name]) for goal in goals) for name, of in values.items()
    }
    found = [
        FrontPoint(trial=trial.id, values=values[trial.id], config=trial.config)
        for trial in trials
        if trial.id in scores and not any(dominates(o, scores[trial.id]) for o in scores.values())
    ]
    return sorted(found, key=lambda point: scores[point.trial], reverse=True)


def dominates(scores: Sequence[float], others: Sequence[float]) -> bool:
    """Whether scores, larger is better, are nowhere worse than others and somewhere better."""
    pairs = list(zip(scores, others, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
