"""What a run cost, and where its time went."""

from __future__ import annotations

from dataclasses import dataclass

from rltune.reports.numbers import clock
from rltune.runs.summary_record import Summary
from rltune.spec import RunSpec

#: The phases of a run, in their order, and what they are.
PHASES = {
    "start": "starting Ray and the first trial",
    "train": "sampling and training",
    "wait": "starts of other trials, checkpoints, waiting, idle slots",
    "score": "choosing the best policy and scoring it",
}


@dataclass(frozen=True)
class Cost:
    """What a run cost.

    Attributes:
        seconds: from its start to its score, resumed parts added up.
        phases: seconds by phase, in the order of :data:`PHASES`; empty for runs of earlier
            versions, which do not tell.
        core_hours: cores that were reserved, times hours, scoring included; None where ``phases``
            are not known.
    """

    env_steps: int
    seconds: float
    phases: dict[str, float]
    core_hours: float | None

    @property
    def sentence(self) -> str:
        """The time in words, and where it went."""
        parts = ", ".join(f"{name} {clock(value)}" for name, value in self.phases.items())
        hours = "" if self.core_hours is None else f", {self.core_hours:.2g} core-hours"
        return f"{clock(self.seconds)}{hours}" + (f": {parts}" if parts else "")


def cost(spec: RunSpec, summary: Summary) -> Cost:
    """Adds up what a run took."""
    spent = summary.spent
    if spent is None:
        return Cost(summary.env_steps, summary.wall_seconds, {}, None)
    phases = {name: float(getattr(spent, name)) for name in PHASES}
    seconds = summary.wall_seconds + spent.score
    cores = (spent.processes or spent.slots) * spec.cpus_of_a_trial
    return Cost(summary.env_steps, seconds, phases, cores * seconds / 3_600)
