"""Schedules of settings beside each other on the same fresh seeds: was it the schedule, or luck?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from rltune.runs.summary_record import Comparison, SeedOutcome, Summary
from rltune.schedulers import schedule_replay
from rltune.schedulers.base import Scheduler, SchedulerContext
from rltune.statistics import better, iqm
from rltune.sweeps.jobs.multi_seed import MultiSeed, across


class ScheduleReplay(MultiSeed):
    """Trains several schedules; they take turns, seed by seed, and share their seeds."""

    def starting_point(self, index: int) -> dict[str, Any]:
        """The first settings of the trial's schedule."""
        return {**self.spec.settings, **self.due(index, 0), "seed": self.seed(index)}

    def number(self, index: int) -> int:
        """Which of the run's seeds trial number ``index`` trains on."""
        return index // len(self.asked.arms)

    def arm(self, index: int) -> str:
        """The name of the schedule that trial number ``index`` follows."""
        return list(self.asked.arms)[index % len(self.asked.arms)]

    def due(self, index: int, env_steps: int) -> dict[str, Any]:
        """The searched settings of trial number ``index`` from an age in environment steps on."""
        schedule = self.asked.arms[self.arm(index)]
        return dict([settings for at, settings in schedule if at <= env_steps][-1])

    def pauses(self) -> Sequence[int]:
        """Environment steps at which any schedule changes.

        All trials pause there: a pause cuts episodes and adds a checkpoint, and the schedules
        shall differ in nothing but their settings.
        """
        schedules = self.asked.arms.values()
        return sorted({at for schedule in schedules for at, _ in schedule if at > 0})

    def scheduler(self, context: SchedulerContext) -> Scheduler:
        """Changes the settings when they are due."""
        return schedule_replay.build(context, self.pauses(), self.due)

    def _by_arm(self, scored: Sequence[SeedOutcome]) -> dict[str, list[SeedOutcome]]:
        """The seeds of each schedule of which any could be scored."""
        found: dict[str, list[SeedOutcome]] = {}
        for name in self.asked.arms:
            seeds = [seed for seed in scored if self.arm(int(seed.trial[1:])) == name]
            if seeds:
                found[name] = seeds
        return found

    def winners(self, scored: Sequence[SeedOutcome]) -> Sequence[SeedOutcome]:
        """The seeds of the schedule with the best interquartile mean."""
        goal = self.spec.goal
        arms = self._by_arm(scored).values()
        scores = [goal.score(float(iqm([seed.score for seed in arm]))) for arm in arms]
        return next((arm for arm, s in zip(arms, scores, strict=True) if s == max(scores)), [])

    def compare(self, summary: Summary, scored: Sequence[SeedOutcome]) -> Summary:
        """The summary with what each schedule came to, and every pair beside each other.

        A schedule of which no seed could be scored is left out.
        """
        spec, schedules = self.spec, self.asked.arms
        arms = {
            name: replace(across(spec, seeds), schedule=schedules[name])
            for name, seeds in self._by_arm(scored).items()
        }
        scores = {name: spec.goal.scores(arm.scores) for name, arm in arms.items()}
        comparisons = [
            Comparison(arm=a, over=b, **better(scores[a], scores[b]))
            for a, b in combinations(arms, 2)
        ]
        return replace(summary, arms=arms, comparisons=comparisons)
