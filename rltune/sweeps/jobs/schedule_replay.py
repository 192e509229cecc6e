"""Schedules of settings beside each other on the same fresh seeds: was it the schedule, or luck?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations
from typing import Any

from rltune.runs.lineage import CONTROL, Schedule
from rltune.runs.summary_record import Comparison, SeedOutcome, Summary, Verdict
from rltune.schedulers import schedule_replay
from rltune.schedulers.base import Scheduler, SchedulerContext
from rltune.statistics import FEWEST_VALUES, beats, better, iqm
from rltune.sweeps.jobs.multi_seed import MultiSeed, across

#: Chance of a verdict that is none, for each of those that a replay may come to.
LEVEL = 0.05


class ScheduleReplay(MultiSeed):
    """Trains several schedules; they take turns, seed by seed, and share their seeds.

    Schedules whose names are equal up to a slash are one arm, whose seeds alternate between them.
    """

    @cached_property
    def arms(self) -> dict[str, list[Schedule]]:
        """The schedules of each arm."""
        found: dict[str, list[Schedule]] = {}
        for name, schedule in self.asked.arms.items():
            found.setdefault(name.partition("/")[0], []).append([list(part) for part in schedule])
        return found

    def starting_point(self, index: int) -> dict[str, Any]:
        """The first settings of the trial's schedule."""
        return {**self.spec.settings, **self.due(index, 0), "seed": self.seed(index)}

    def number(self, index: int) -> int:
        """Which of the run's seeds trial number ``index`` trains on."""
        return index // len(self.arms)

    def arm(self, index: int) -> str:
        """The name of the schedule that trial number ``index`` follows."""
        return list(self.arms)[index % len(self.arms)]

    def due(self, index: int, env_steps: int) -> dict[str, Any]:
        """The searched settings of trial number ``index`` from an age in environment steps on."""
        schedules = self.arms[self.arm(index)]
        schedule = schedules[self.number(index) % len(schedules)]
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
        for name in self.arms:
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
        spec = self.spec
        arms = {
            name: replace(across(spec, seeds), schedule=self._schedule(name))
            for name, seeds in self._by_arm(scored).items()
        }
        scores = {name: spec.goal.scores(arm.scores) for name, arm in arms.items()}
        comparisons = [
            Comparison(arm=a, over=b, **better(scores[a], scores[b]))
            for a, b in combinations(arms, 2)
        ]
        return replace(
            summary, arms=arms, comparisons=comparisons, verdict=verdict(scores, self.arms)
        )

    def _schedule(self, arm: str) -> Schedule | None:
        """The schedule of an arm; None where it has several."""
        return self.arms[arm][0] if len(self.arms[arm]) == 1 else None


def verdict(scores: Mapping[str, Sequence[float]], arms: Collection[str]) -> Verdict | None:
    """What made the difference, from what the seeds of each arm came to, larger is better.

    "schedule": the champion's schedule is better than its own final settings held constant, and
    than the best initial ones. "selection": that is not so, but it is better than the settings of
    controls, which nobody has chosen. "luck": neither. Each is wrong in one of twenty cases at
    most, by the test of Mann and Whitney.

    Args:
        arms: names of those that were trained, whether they have scores or not.

    Returns:
        None where an arm has fewer seeds than say anything; or there were no controls, and it was
        not the schedule.
    """
    ours = scores.get("schedule", ())
    others = {name: scores.get(name, ()) for name in arms if name != "schedule"}
    if min(map(len, [ours, *others.values()])) < FEWEST_VALUES:
        return None
    untouched = others.pop(CONTROL, None)
    if others and all(beats(ours, theirs) <= LEVEL for theirs in others.values()):
        return "schedule"
    if untouched is None:
        return None
    return "selection" if beats(ours, untouched) <= LEVEL else "luck"
