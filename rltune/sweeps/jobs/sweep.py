"""A sweep: trials that a searcher starts and a scheduler decides about; the best policy counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rltune import searchers
from rltune.callbacks.base import Callbacks
from rltune.errors import NothingUsable
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import SettingOutcome, Summary
from rltune.schedulers.base import Scheduler, SchedulerContext
from rltune.searchers import seeds
from rltune.searchers.history import PastTrial
from rltune.searchers.seeds import Start
from rltune.spec import JobSpec, RunSpec
from rltune.sweeps.jobs.base import Job


class Sweep(Job):
    """Tunes settings."""

    first_wins = True
    keeps_every_policy = False

    def __init__(self, spec: RunSpec, job: JobSpec) -> None:
        super().__init__(spec, job)
        self.searcher = searchers.build(spec)

    def next_start(self, index: int) -> Start | None:
        """Given points, then the searcher's suggestions; or another seed of settings."""
        return seeds.next_start(self.spec, self.searcher, self.history, index)

    def is_over(self, index: int) -> bool:
        """Whether every setting has had its trial, and all the seeds that are due."""
        return seeds.is_over(self.spec, self.history, index)

    def scheduler(self, context: SchedulerContext) -> Scheduler:
        """Decides about the first seed of each setting."""
        return seeds.scheduled(super().scheduler(context), self.history, self.spec.budget)

    @property
    def reached_target(self) -> bool:
        """Whether settings came to the target over all their seeds."""
        return seeds.reached(self.spec, self.history)

    def conclude(self, folder: RunFolder, summary: Summary, callbacks: Callbacks) -> Summary:
        """The best that was found, as the task has it: of the settings that won their race."""
        if summary.front is not None:
            if not summary.front:
                raise NothingUsable(
                    "no trial has a finite value of each objective: "
                    + ", ".join(self.spec.objective)
                )
            on_it = [point.trial for point in summary.front]
            return self.task.conclude(folder, summary, on_it, callbacks.evaluated)
        if self.spec.budget.seeds_per_trial == 1:
            return self.task.conclude(folder, summary, evaluated=callbacks.evaluated)
        best = seeds.winner(self.history, self.spec.budget)
        settings = self.history.settings()
        trials = None if best is None else [trial.id for trial in settings[best]]
        summary = self.task.conclude(folder, summary, trials, callbacks.evaluated)
        return replace(summary, settings=[self._outcome(of_one) for of_one in settings])

    def _outcome(self, trials: Sequence[PastTrial]) -> SettingOutcome:
        goal, judge = self.spec.goal, self.spec.budget.judge
        scores = [trial.score for trial in trials]
        judged = seeds.judged(trials, judge)
        return SettingOutcome(
            config=trials[0].settings,
            trials=[trial.id for trial in trials],
            scores=[None if score is None else goal.score(score) for score in scores],
            judged=goal.score(judged) if math.isfinite(judged) else None,
        )
