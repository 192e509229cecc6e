"""A scheduler's options: those that it does not use are refused, its interval fits the budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune import schedulers
from rltune.errors import BadInput
from rltune.options import OPTIONS, Budget
from rltune.spec import Preset


def interval(budget: Budget, asked: Mapping[str, Any], report: int = 1) -> dict[str, Any]:
    """Entries that override a budget, with an interval that fits to fewer steps.

    An interval that is not asked for keeps its share of a trial's steps where these are fewer than
    the budget's; a scheduler would decide once at the end, or never.

    Args:
        budget: what the entries override.
        report: environment steps between two reports: no interval is shorter.
    """
    steps = asked.get("steps", budget.steps)
    if "perturb_every" in asked or not isinstance(steps, int) or steps >= budget.steps:
        return dict(asked)
    every = max(1, report, budget.perturb_every * steps // budget.steps)
    return {**asked, "perturb_every": min(every, budget.perturb_every)}


def with_interval(preset: Preset, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The same over a preset's budget; an interval in the user's own file stays as it is."""
    source = preset.sources.get("budget.perturb_every", "")
    if source and not source.startswith("presets/"):
        return dict(asked)
    return interval(preset.budget, asked, preset.settings["min_sample_timesteps_per_iteration"])


def check_used(preset: Preset, asked: Mapping[str, Any]) -> None:
    """Refuses options of other schedulers than the one that is used.

    In a preset file of the user's they are refused where the file's own scheduler does not use
    them, unless they have the value that they would have without the file.

    Args:
        asked: entries that override the preset's budget.

    Raises:
        BadInput: with every option, and the schedulers that use it.
    """
    scheduler = preset.budget.scheduler
    if scheduler not in schedulers.SCHEDULERS:
        return  # refused with the other names
    problems = schedulers.unused(scheduler, asked)
    if "scheduler" not in asked:
        for name, value in vars(preset.budget).items():
            source = preset.sources.get(f"budget.{name}", "")
            own = source and name not in asked and value != OPTIONS[name].default
            problems += [
                f"{source}: {text}" for text in schedulers.unused(scheduler, [name]) if own
            ]
    if problems:
        raise BadInput(problems)
