"""Several objectives of a run: how it searches where nothing else is asked for, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune import schedulers, searchers
from rltune.engine.metric_names import ENV_STEPS, LEARNER, LENGTH, PREFIX, REWARD, SECONDS
from rltune.errors import BadInput, keyword
from rltune.options import Budget, Goal
from rltune.request import batches
from rltune.spec import RunSpec


def with_defaults(goal: Goal, budget: Budget | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of a budget, with a scheduler and a searcher for several objectives.

    Where none is asked for and those of the preset would ignore all objectives but the first, every
    trial runs to its end and TPE looks for the front.

    Args:
        budget: the preset's; None where there is none.
    """
    if not goal.objective:
        return dict(asked)
    found = dict(asked)
    if budget is None or schedulers.row(budget.scheduler).compares:
        found.setdefault("scheduler", "fifo")
    if budget is None or not searchers.SEARCHERS[budget.searcher].objectives:
        found.setdefault("searcher", "tpe")
    return found


def check_of_policies(goal: Goal) -> None:
    """Raises BadInput for metrics that say nothing about a policy."""
    names = [one.removeprefix("-") for one in goal.objective or (goal.metric,)]
    for name in names:
        if name.startswith(f"{LEARNER}/"):
            raise BadInput(
                f"metric {name} shows how training goes, not how good a policy is: tune for a "
                f"number of episodes, {REWARD}, {LENGTH} or {PREFIX}<key>"
            )
    if goal.metric in (SECONDS, ENV_STEPS):
        raise BadInput(
            f"metric {goal.metric} says what a trial has spent, not how good its policy is: give "
            f"it behind another, {keyword(objective=f'{REWARD},-{goal.metric}')}"
        )


def check_seconds(spec: RunSpec) -> None:
    """Raises BadInput for seconds of trials that train together."""
    if SECONDS in [goal.name for goal in spec.goals] and batches.is_batched(spec):
        raise BadInput(
            f"objective {SECONDS}: the trials of a batch train together, and each takes what the "
            f"batch takes. Give each a process, {keyword(batch='off')}"
        )


def note(spec: RunSpec) -> str | None:
    """Returns a note on how several objectives are searched and what the best is; None for one."""
    if not spec.objective:
        return None
    budget = spec.budget
    return (
        f"several objectives: every trial runs to its end ({budget.scheduler}), searcher "
        f"{budget.searcher} looks for settings that no others beat in all objectives, and the best "
        f"is the one of these with the best {spec.metric}"
    )
