"""Simulated sweeps of PPO on CartPole, whose returns follow from the names of the trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rltune import schedulers
from rltune.request.resolve import make_spec
from rltune.schedulers.base import Change, SchedulerContext
from rltune.simulator import Conditions, Segment, SimulatedSweep, SimulatedTrial
from rltune.tasks.rl import RLTask

REPORT = 250
INTERVAL = 1_000


class Table(SimulatedSweep):
    """Runs trials over a function that gives each trial's next return; whose turn it is is random.

    Args:
        gain: of a trial's name, its clock and its settings: what a report adds to its return.
        save_every: reports between two checkpoints that the scheduler does not ask for; 0: none.
        late: hands a trial to the scheduler when no other new one waits, as a sweep does.
    """

    def __init__(
        self,
        gain: Callable[[str, int, Mapping[str, Any]], float],
        scheduler: str = "pbt",
        members: int = 4,
        slots: int = 2,
        steps: int = 6_000,
        seed: int = 0,
        save_every: int = 0,
        late: bool = False,
        **options: Any,
    ) -> None:
        population = {"perturb_every": INTERVAL, **options.pop("population", {})}
        spec = make_spec(
            "ppo",
            "cartpole",
            scheduler=scheduler,
            trials=members,
            steps=steps,
            seed=seed,
            population=population,
            target=math.inf,
            **options,
        )
        spec = replace(spec, resources=replace(spec.resources, concurrent=slots))
        self.gain = gain
        #: The clocks of all members at each change.
        self.changed_at: list[dict[str, int]] = []
        #: For each report: the clocks of all members that are not done, and of those that wait.
        self.clocks: list[tuple[dict[str, int], dict[str, int]]] = []
        self.built = 0
        rng = np.random.default_rng(seed)
        conditions = Conditions(
            report_every=REPORT,
            save_every=save_every * REPORT,
            seconds_per_step=lambda _: float(rng.exponential()),
        )
        super().__init__(spec, self, conditions, self._seeded, mutable=RLTask(spec).mutable())
        while self._more and not late:
            self._hand_out()

    def _seeded(self, context: SchedulerContext) -> Any:
        # The next one is of another seed: random draws must follow from the state alone.
        seed = context.spec.seed + 99 * self.built
        self.built += 1
        return self.build(replace(context, spec=replace(context.spec, seed=seed)))

    def build(self, context: SchedulerContext) -> Any:
        return schedulers.build(context)

    @property
    def clock(self) -> dict[str, int]:
        return {trial.id: trial.env_steps for trial in self._all}

    @property
    def running(self) -> list[SimulatedTrial]:
        return [trial for trial in self._all if trial.status == "running"]

    def train(self, segment: Segment) -> tuple[float, float]:
        """Curves whose weights are the return."""
        gained = self.gain(segment.trial, segment.stop, segment.settings)
        level = (segment.weights or 0.0) + gained
        return level, level

    def _decide(self, trial: SimulatedTrial, values: Mapping[str, Any], start: int) -> None:
        live = [each for each in self._all if not each.is_over]
        self.clocks.append((_clocks(live), _clocks(each for each in live if each.waits)))
        super()._decide(trial, values, start)

    def _apply(self, change: Change) -> None:
        super()._apply(change)
        self.changed_at.append(self.clock)

    def lose(self, trial: SimulatedTrial) -> None:
        """A running trial fails for good."""
        trial.failures = self.spec.resources.max_failures
        self.fail(trial)


def _clocks(trials: Iterable[SimulatedTrial]) -> dict[str, int]:
    return {trial.id: trial.env_steps for trial in trials}
