"""A scheduler's options: those that it does not use are refused, its interval fits the budget."""

from __future__ import annotations

from typing import Any

from rltune import schedulers
from rltune.catalog.presets import interval_within
from rltune.errors import BadInput
from rltune.options import OPTIONS
from rltune.request.asked import Request
from rltune.spec import Preset


def with_interval(preset: Preset, asked: Request) -> dict[str, Any]:
    """Entries that override a preset's budget, with an interval that fits to fewer steps.

    One that is asked for, or in the user's own file, stays as it is.
    """
    entries = dict(asked.budget)
    steps = entries.get("steps")
    given = "perturb_every" in entries or _is_own("perturb_every", preset, asked)
    if given or not isinstance(steps, int) or steps >= preset.budget.steps:
        return entries
    return {**entries, "perturb_every": interval_within(preset, preset.budget, steps)}


def check_used(preset: Preset, asked: Request) -> None:
    """Refuses options of other schedulers than the one that is used.

    In a preset file of the user's they are refused where the file's own scheduler does not use
    them, unless they have their defaults, which rltune writes into such files.

    Args:
        preset: with what was asked for laid over it.

    Raises:
        BadInput: with every option, and the schedulers that use it.
    """
    scheduler = preset.budget.scheduler
    if scheduler not in schedulers.SCHEDULERS:
        return  # refused with the other names
    problems = schedulers.unused(scheduler, asked.budget)
    if "scheduler" not in asked.budget:
        own = [
            name
            for name, value in vars(preset.budget).items()
            if _is_own(name, preset, asked) and value != OPTIONS[name].default
        ]
        file = asked.start.preset
        problems += [f"{file}: {problem}" for problem in schedulers.unused(scheduler, own)]
    if problems:
        raise BadInput(problems)


def _is_own(name: str, preset: Preset, asked: Request) -> bool:
    """Whether an entry of the budget comes from the user's own preset file."""
    file = asked.start.preset
    return file is not None and preset.sources.get(f"budget.{name}") == str(file)
