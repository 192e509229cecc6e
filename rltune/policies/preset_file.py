"""The best settings as a preset file, which a later sweep can start from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rltune.catalog.algorithms import algorithm
from rltune.catalog.toml import written
from rltune.options import Budget, ScoringBudget
from rltune.runs import commands
from rltune.runs.lineage import Segment, is_schedule
from rltune.runs.summary_record import Evaluation
from rltune.space import Choice, Parameter
from rltune.spec import RunSpec


def preset_toml(
    spec: RunSpec,
    settings: Mapping[str, Any],
    result: Evaluation | None,
    given: bool = False,
    schedule: Sequence[Segment] = (),
) -> str:
    """Settings, space, constraints and budget of a run, as a preset file has them.

    A time budget and the steps of all trials are the run's alone: they would end another one early
    without a word. So is a target that is no large return: a run that starts from the file need
    not ask for the same metric. Of several environments the file holds the budget of one, as every
    preset does.

    Args:
        given: whether nothing searched: settings were given, or those of a landscape. A search
            could not use their budget but for a trial's steps and the target.
        schedule: what the policy was trained by, see :func:`rltune.runs.lineage.segments`: a file
            holds the settings of its last part alone, and says so.
    """
    own = algorithm(spec.algo).constraints
    constraints = [c.text for c in spec.space.constraints if c not in own]
    shared = _for_one(spec.budget, len(spec.singles))
    budget = {key: value for key, value in asdict(shared).items() if value is not None}
    kept = {"steps", "target"} if given else set(budget) - {"time_budget", "total_steps"}
    if not spec.goal.is_return or spec.mode != "max":
        kept -= {"target"}
    lines = [
        f"# {spec.algo} on {_on_one_line(spec.env_id)}{_score(spec, result)}",
        f"# {_on_one_line(commands.with_preset(spec, 'THIS_FILE'))}",
        *_part(schedule),
        f"env = {written(spec.singles[0].env)}",
        f"constraints = {written(constraints)}",
        "",
        "[budget]",
        *(f"{key} = {written(value)}" for key, value in budget.items() if key in kept),
        "",
        "[settings]",
        *(f"{name} = {written(value)}" for name, value in sorted(settings.items())),
        "",
        "[space]",
        *(f"{name} = {_parameter(p, settings[name])}" for name, p in spec.space.items()),
        *_evaluation(spec.evaluation),
    ]
    return "\n".join(lines) + "\n"


def _for_one(budget: Budget, environments: int) -> Budget:
    """A budget as a preset has it, whose steps are those in one environment."""
    return replace(
        budget,
        steps=max(1, budget.steps // environments),
        perturb_every=max(1, budget.perturb_every // environments),
        burn_in=budget.burn_in // environments,
    )


def _part(schedule: Sequence[Segment]) -> list[str]:
    if not is_schedule(schedule):
        return []
    last = schedule[-1]
    own, every = last.last - last.first, last.last
    return [
        f"# These settings trained the last {own:,} of {every:,} environment steps of the policy;",
        "# before them it had others: `rltune replay` tells whether the schedule matters.",
    ]


def _evaluation(budget: ScoringBudget) -> list[str]:
    """The scoring budget, where it is not what any run has."""
    default = asdict(ScoringBudget())
    own = {key: value for key, value in asdict(budget).items() if value != default[key]}
    table = ["", "[evaluation]", *(f"{key} = {written(value)}" for key, value in own.items())]
    return table if own else []


def _parameter(parameter: Parameter, value: Any) -> str:
    if not isinstance(parameter, Choice) and not parameter.contains(value):
        value = parameter.nearest(value)  # what acts is rounded, past a bound it may be
    return written(replace(parameter, default=value).to_dict())


def _on_one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _score(spec: RunSpec, result: Evaluation | None) -> str:
    if result is None:
        return ": not scored yet"
    low, high = result.ci95
    interval = "" if math.isnan(low) else f" [{low:.4g}, {high:.4g}]"
    what = "return" if spec.goal.is_return else spec.goal.words
    return f": {what} {result.mean:.4g}{interval} over {result.episodes} episodes"
