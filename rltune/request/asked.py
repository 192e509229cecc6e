"""What a user asks for, sorted into the groups of :mod:`rltune.options`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rltune.errors import BadInput, unknown
from rltune.options import (
    GROUPS,
    OPTIONS,
    Budget,
    EnvOptions,
    Goal,
    Place,
    Resources,
    ScoringBudget,
    Start,
    options_of,
    problems,
)
from rltune.options.readers import as_table


@dataclass(frozen=True)
class Request:
    """Options that were asked for, each checked by itself.

    Attributes:
        budget: entries that override the preset's.
        evaluation: the same of the scoring budget.
    """

    budget: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    goal: Goal
    start: Start
    env_options: EnvOptions
    resources: Resources
    place: Place

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Request:
        """Sorts options into their groups.

        Args:
            options: by name; those of a scheduler may also stand in a dict, ``population``.

        Raises:
            BadInput: with every option that is unknown or wrong.
        """
        flat = dict(options)
        try:
            table = as_table(flat.pop("population", None))
        except ValueError as error:
            raise BadInput(f"population {error}") from None
        if twice := [name for name in table if flat.get(name) is not None]:
            raise BadInput([f"{name} is given twice, once in population" for name in twice])
        flat |= table
        wrong = [str(unknown("option", name, OPTIONS)) for name in flat if name not in OPTIONS]
        given = {
            group: {
                name: flat[name]
                for name, one in options_of(group).items()
                if name in flat and not (one.inherited and flat[name] is None)
            }
            for group in GROUPS
        }
        # The preset's are checked where they replace its entries, with its other problems.
        for group, values in given.items():
            wrong += [] if group.inherited else problems(group, values).values()
        if wrong:
            raise BadInput(wrong)
        return cls(
            given[Budget],
            given[ScoringBudget],
            Goal(**given[Goal]),
            Start(**given[Start]),
            EnvOptions(**given[EnvOptions]),
            Resources(**given[Resources]),
            Place(**given[Place]),
        )
