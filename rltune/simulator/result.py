"""What a simulation comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from rltune.runs.records import Decision, Report
from rltune.spec import RunSpec

#: The metric of a report without its noise, by its name in ``Report.metrics``.
TRUE_SCORE = "true_score"

Status = Literal["pending", "paused", "running", "ended", "stopped", "failed"]


@dataclass(frozen=True)
class Checkpoint:
    """What a trial continues from."""

    env_steps: int = 0
    weights: Any = None


@dataclass
class SimulatedTrial:
    """A trial.

    Attributes:
        id: its name, ``t00``, ``t01`` ...
        start: the searched settings that it started with.
        config: its present configuration, ``seed`` and the settings that are not searched included.
        status: "pending" or "paused" while it waits, "running", and in the end "ended" at its
            budget, or with the sweep; "stopped" by the scheduler; "failed" by errors or because its
            score was not finite.
        reports: in their order; those that a failure discarded are left out. ``wall_seconds`` is
            the simulated time.
        failures: how often it failed.
        env_steps: its age.
        seconds: that it has trained.
        weights: its present weights.
        saved: its own last checkpoint; None before the first.
        restart: what its next start continues from: ``saved``, or another trial's weights.
    """

    id: str
    start: Mapping[str, Any]
    config: Mapping[str, Any]
    status: Status = "pending"
    reports: list[Report] = field(default_factory=list)
    failures: int = 0
    env_steps: int = 0
    seconds: float = 0.0
    weights: Any = None
    saved: Checkpoint | None = None
    restart: Checkpoint = Checkpoint()

    @property
    def waits(self) -> bool:
        """Whether it could start."""
        return self.status in ("pending", "paused")

    @property
    def is_over(self) -> bool:
        """Whether it will not train any more."""
        return self.status in ("ended", "stopped", "failed")

    def step_back(self) -> None:
        """Takes it back to what its next start continues from."""
        self.env_steps = self.restart.env_steps
        self.reports = [report for report in self.reports if report.env_steps <= self.env_steps]
        self.seconds = self.reports[-1].train_seconds if self.reports else 0.0
        if self.status == "running":
            self.status = "pending"


@dataclass(frozen=True)
class Improvement:
    """A report that was the best of its sweep so far.

    Attributes:
        env_steps: that all trials had spent by then, discarded ones included.
        seconds: simulated time since the start.
        trial: the trial that reported it.
        age: environment steps of that trial.
        score: the metric as reported.
        true_score: the metric without noise: what the choice of this trial is worth.
        settings: the searched settings at that time.
    """

    env_steps: int
    seconds: float
    trial: str
    age: int
    score: float
    true_score: float
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, report: Report, score: float, env_steps: int) -> Self:
        """The improvement that a report is."""
        return cls(
            env_steps,
            report.wall_seconds,
            report.trial,
            report.env_steps,
            score,
            report.metrics[TRUE_SCORE],
            report.settings,
        )


@dataclass(frozen=True)
class Simulation:
    """A simulated sweep.

    Attributes:
        spec: the request.
        trials: in the order of their numbers.
        decisions: of the scheduler, in their order.
        improvements: the best report so far, whenever there was a better one.
        env_steps: that all trials have spent, discarded ones included.
        seconds: simulated time that it took.
        stop_reason: "steps", "target" or "time_budget".
        notices: what a person should know of the request, and what the scheduler noticed.
    """

    spec: RunSpec
    trials: Sequence[SimulatedTrial]
    decisions: Sequence[Decision]
    improvements: Sequence[Improvement]
    env_steps: int
    seconds: float
    stop_reason: str
    notices: Sequence[str]

    @property
    def best(self) -> Improvement | None:
        """The best report of all; None where no trial had a finite score."""
        return self.improvements[-1] if self.improvements else None

    def best_at(self, spent: float, of: Literal["env_steps", "seconds"] = "env_steps") -> float:
        """The true score of what was best once so much was spent; NaN before the first report."""
        found = [one.true_score for one in self.improvements if getattr(one, of) <= spent]
        return found[-1] if found else float("nan")
