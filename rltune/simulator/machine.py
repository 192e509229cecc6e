"""The simulated machine: it trains trials along curves, and its clock jumps to the next report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from rltune.errors import BadInput
from rltune.options import Group, problems
from rltune.options.base import option
from rltune.runs.names import number_of
from rltune.runs.records import Diverged, Report
from rltune.simulator.curves import Curves, Segment
from rltune.simulator.result import TRUE_SCORE, SimulatedTrial
from rltune.spec import RunSpec

#: A number, or a function of a trial's configuration.
Cost = float | Callable[[Mapping[str, Any]], float]
#: A probability, or a function of a trial's configuration and its age that says when.
Failures = float | Callable[[Mapping[str, Any], int], bool]


@dataclass(frozen=True)
class Conditions(Group):
    """What a simulated machine does to trials.

    Attributes:
        report_every: environment steps of a trial between two reports.
        save_every: environment steps between two checkpoints that the scheduler does not ask for;
            0 for none.
        seconds_per_step: simulated seconds of an environment step.
        noise: standard deviation of a reported score around the true one.
        failures: of a trial before a report, from which it continues at its last checkpoint.
    """

    report_every: int = option(1, "Environment steps between two reports.", least=1)
    save_every: int = option(0, "Environment steps between two checkpoints.", least=0)
    seconds_per_step: Cost = option(0.001, "Seconds of an environment step.", above=0)
    noise: float = option(0.0, "Standard deviation of a score.", least=0, finite=True)
    failures: Failures = option(0.0, "Probability of a failure.", least=0, most=1)

    def __post_init__(self) -> None:
        numbers = {name: value for name, value in vars(self).items() if not callable(value)}
        if wrong := problems(type(self), numbers):
            raise BadInput(list(wrong.values()))


class Machine:
    """Trains the trials that run.

    Attributes:
        seconds: simulated time since the start.
        env_steps: that all trials have spent, those that a failure discards included.
    """

    def __init__(self, spec: RunSpec, curves: Curves, conditions: Conditions) -> None:
        self._spec = spec
        self.curves = curves
        self.conditions = conditions
        self.slots = spec.resources.concurrent or 1
        self.seconds = 0.0
        self.env_steps = 0
        #: When the next report of each running trial is due: seconds, number, the trial, and what
        #: it takes.
        self._due: list[tuple[float, int, SimulatedTrial, float]] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._due

    @property
    def is_full(self) -> bool:
        """Whether every slot is taken."""
        return len(self._due) >= self.slots

    @property
    def next_at(self) -> float:
        """When the next report is due."""
        return self._due[0][0]

    def train(self, trial: SimulatedTrial) -> None:
        """Trains a trial until its next report."""
        cost = self.conditions.seconds_per_step
        cost = cost if isinstance(cost, int | float) else cost(trial.config)
        seconds = cost * (self._next_age(trial) - trial.env_steps)
        heappush(self._due, (self.seconds + seconds, number_of(trial.id), trial, seconds))

    def interrupt(self, trial: SimulatedTrial) -> None:
        """Trains a trial no further."""
        self._due = [due for due in self._due if due[2] is not trial]
        heapify(self._due)

    def next_report(self) -> tuple[SimulatedTrial, Report | None]:
        """The trial that reports next, and its report; None where it fails before."""
        self.seconds, _, trial, seconds = heappop(self._due)
        start, stop = trial.env_steps, self._next_age(trial)
        self.env_steps += stop - start
        if self._fails(trial, stop):
            return trial, None
        rng = np.random.default_rng([trial.config["seed"], stop])
        segment = Segment(trial.id, trial.config, start, stop, trial.weights, rng)
        trial.weights, value = self.curves.train(segment)
        trial.seconds += seconds
        trial.env_steps = stop
        report = self._report(trial, value, rng, stop - start)
        trial.reports.append(report)
        return trial, report

    def _next_age(self, trial: SimulatedTrial) -> int:
        every = self.conditions.report_every
        return min((trial.env_steps // every + 1) * every, self._spec.budget.steps)

    def _fails(self, trial: SimulatedTrial, age: int) -> bool:
        failures = self.conditions.failures
        if not isinstance(failures, int | float):
            return failures(trial.config, age)
        # Another draw at the next try of the same age.
        key = [trial.config["seed"], age, trial.failures + 1]
        return failures > 0 and np.random.default_rng(key).random() < failures

    def _report(
        self, trial: SimulatedTrial, value: float, rng: np.random.Generator, steps: int
    ) -> Report:
        noisy = value + self.conditions.noise * float(rng.standard_normal())
        finite = math.isfinite(value)
        name = self._spec.metric
        return Report(
            trial=trial.id,
            training_iteration=len(trial.reports) + 1,
            env_steps=trial.env_steps,
            env_steps_this_iter=steps,
            wall_seconds=self.seconds,
            train_seconds=round(trial.seconds, 3),
            episode_reward_mean=None,
            settings={name: trial.config[name] for name in self._spec.space},
            diverged=None if finite else Diverged(trial.env_steps, name, str(value)),
            metrics={name: noisy, TRUE_SCORE: value} if finite else {},
        )
