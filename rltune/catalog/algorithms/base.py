"""What the catalog knows of an algorithm: its settings, and what must hold between them.

RLlib's names throughout. A table of settings holds what rltune's algorithm acts on and nothing
else: a setting that is accepted and ignored is worse than one that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rltune.catalog import aliases
from rltune.catalog.settings import Setting
from rltune.space import Constraint, Space

#: RLlib's settings of where processes run, and what says it here.
ELSEWHERE = {
    **dict.fromkeys(("num_gpus", "num_gpus_per_learner"), "use `gpus_per_trial`"),
    "num_cpus_for_main_process": "use `cpus_per_trial`",
    "placement_strategy": "use `placement`",
    "num_learners": (
        "a trial has one learner; RLlib's own engine trains with several: `rltune tune ALGO`, with "
        "this setting"
    ),
}


@dataclass(frozen=True)
class Algorithm:
    """One algorithm as rltune runs it.

    Attributes:
        name: as on the command line.
        title: its full name and source.
        class_name: the class in ``rltune.algorithms``, defined in the folder ``<name>`` there.
        actions: the kinds of action space it handles: "discrete", "multidiscrete", "multibinary",
            "box".
        settings: every setting it acts on.
        constraints: what must hold between settings, also after a mutation.
    """

    name: str
    title: str
    class_name: str
    actions: frozenset[str]
    settings: Mapping[str, Setting]
    constraints: tuple[Constraint, ...]

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with settings, by name: unknown names, wrong types, values out of range."""
        problems = {}
        for name, value in values.items():
            if name not in self.settings:
                problems[name] = self.unknown(name)
            elif problem := self.settings[name].problem(value):
                problems[name] = problem
        return problems

    def unknown(self, name: str) -> str:
        """What is wrong with a name that is no setting: the right one, and where all are listed."""
        if name in ELSEWHERE:
            return f"no setting of {self.name}: {ELSEWHERE[name]}"
        hint = aliases.hint(name, self.settings)
        return f"unknown setting of {self.name}.{hint} See `rltune list settings {self.name}`."

    def mutable(self, space: Space) -> Space:
        """The part of a space that a population may mutate while it trains."""
        return space.only({name for name in space if not self.settings[name].structural})
