"""One view of a run for its report: the files of a run folder, each read once."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rltune import schedulers
from rltune.errors import BadInput
from rltune.metric import Metric
from rltune.reports.plots.axes import Axes
from rltune.reports.words import clock_in_words
from rltune.runs.folder import RunFolder
from rltune.runs.front import front, last_values, whole
from rltune.runs.lineage import Segment, agree, segments
from rltune.runs.names import number_of
from rltune.runs.records import Decision, Failure, Report
from rltune.runs.summary_record import FrontPoint, Summary, TrialOutcome
from rltune.spec import JobSpec, RunSpec

log = logging.getLogger("rltune")


@dataclass(frozen=True)
class RunView:
    """What a run folder holds.

    Attributes:
        summary: None while the run is not finished.
        reports: of each trial that has reported, by its id, in the order of their numbers; none of
            them is empty.
        discarded: reports of work that was lost, by trial.
        failures: of each trial, by its id.
        decisions: that took effect, in their order.
    """

    folder: RunFolder
    spec: RunSpec
    job: JobSpec
    summary: Summary | None
    reports: Mapping[str, Sequence[Report]]
    discarded: Mapping[str, Sequence[Report]]
    failures: Mapping[str, Sequence[Failure]]
    decisions: Sequence[Decision]

    @classmethod
    def read(cls, path: Path | str) -> RunView:
        """Reads a run.

        Raises:
            BadInput: it is no run folder, or its request or its summary is damaged.
        """
        folder = RunFolder.open(path)
        return cls.of(folder, folder.spec, folder.job, folder.summary)

    @classmethod
    def of(cls, folder: RunFolder, spec: RunSpec, job: JobSpec, summary: Summary | None) -> RunView:
        """Reads what its trials and its scheduler left of a run whose request is known."""
        trials = sorted((one.name for one in folder.path.glob("trials/*/")), key=number_of)
        return cls(
            folder=folder,
            spec=spec,
            job=job,
            summary=summary,
            reports={name: rows for name in trials if (rows := folder.reports(name))},
            discarded={name: rows for name in trials if (rows := folder.discarded(name))},
            failures={name: lost for name in trials if (lost := folder.failures(name))},
            decisions=folder.decisions(),
        )

    @property
    def goal(self) -> Metric:
        """What was tuned."""
        return self.spec.goal

    @property
    def axes(self) -> Axes:
        """What its figures need to know beside their rows."""
        return Axes(self.goal, self.spec.space, clock_in_words(self.spec))

    @property
    def searches(self) -> bool:
        """Whether settings were searched: else they were given."""
        return self.job.searches and bool(self.spec.space)

    @property
    def is_population(self) -> bool:
        """Whether members copied each other, and changed their settings while they trained."""
        row = schedulers.SCHEDULERS.get(self.spec.budget.scheduler)
        return self.searches and row is not None and row.population

    @cached_property
    def winner(self) -> str | None:
        """The trial with the best policy; of an unfinished run, that of the best report.

        A trial that diverged does not lead: none of its policies can be chosen.
        """
        if self.summary is not None:
            return self.summary.best.trial if self.summary.best else None
        scores = {n: self.best_score(n) for n in self.reports if not self.diverged(n)}
        scored = {name: score for name, score in scores.items() if score is not None}
        return max(scored, key=lambda name: scored[name], default=None)

    def diverged(self, trial: str) -> bool:
        """Whether a trial ended because a number was not finite."""
        return self.reports[trial][-1].diverged is not None

    def best_score(self, trial: str) -> float | None:
        """The best of a trial's reports, larger being better; None without one."""
        return max(self.scores[trial], default=None)

    def last_value(self, trial: str) -> float | None:
        """The metric in a trial's last report that has it; None for one that diverged."""
        scores = () if self.diverged(trial) else self.scores[trial]
        return self.goal.score(scores[-1]) if scores else None

    @cached_property
    def scores(self) -> Mapping[str, Sequence[float]]:
        """The finite scores among each trial's reports, by trial; larger is better."""
        score_of = self.goal.score_of
        return {
            trial: [
                score
                for row in rows
                if (score := score_of(row.measured)) is not None and math.isfinite(score)
            ]
            for trial, rows in self.reports.items()
        }

    @cached_property
    def objectives(self) -> Mapping[str, Mapping[str, float]]:
        """The last values of a run's objectives by trial; empty where it has but one.

        Trials that failed, diverged or lack an objective are left out.
        """
        if not self.spec.objective:
            return {}
        outcomes = {trial.id: trial for trial in self.outcome.trials}
        return {name: of for name in self.reports if (of := whole(outcomes[name], self.spec.goals))}

    @cached_property
    def front(self) -> Sequence[FrontPoint]:
        """The Pareto front so far; empty for a run with one objective."""
        if not self.spec.objective:
            return []
        return front(self.outcome.trials, self.spec.goals)

    @cached_property
    def champion(self) -> list[Segment]:
        """What the winner's weights were trained by; empty where that cannot be told."""
        if self.winner is None or self.winner not in self.reports:
            return []
        best = self.summary.best if self.summary else None
        steps = self.reports[self.winner][-1].env_steps if best is None else best.env_steps
        with suppress(BadInput):
            lived = segments(self.folder, self.winner, steps)
            if best is None or not lived or agree(lived[-1].settings, best.config):
                return lived
        return []

    @cached_property
    def env_steps(self) -> int:
        """Environment steps that were spent, discarded work included."""
        every = [*self.reports.values(), *self.discarded.values()]
        return sum(row.env_steps_this_iter for rows in every for row in rows)

    @cached_property
    def wall_seconds(self) -> float:
        """Seconds until the last report; of a finished run, until its last trial ended."""
        if self.summary is not None:
            return self.summary.wall_seconds
        return max((rows[-1].wall_seconds for rows in self.reports.values()), default=0.0)

    @property
    def outcome(self) -> Summary:
        """What came out; of an unfinished run, what there is so far."""
        return self.summary or Summary(
            best=None,
            evaluation=None,
            env_steps=self.env_steps,
            wall_seconds=self.wall_seconds,
            trials=[
                TrialOutcome(
                    id=trial,
                    status="DIVERGED" if self.diverged(trial) else "",
                    env_steps=rows[-1].env_steps,
                    score=self.last_value(trial),
                    config=rows[-1].settings,
                    error=None,
                    objectives=last_values(rows, self.spec.goals) if self.spec.objective else {},
                )
                for trial, rows in self.reports.items()
            ],
            stop_reason="",
            metric=self.spec.metric,
            mode=self.spec.mode,
        )

    @property
    def state(self) -> str:
        """How far the run is, in a word."""
        if self.summary is None:
            return "unfinished"
        return "partly scored" if self.summary.can_be_finished else "finished"

    def settings_of(self, trial: str) -> Mapping[str, Any]:
        """The searched settings in a trial's last report."""
        return self.reports[trial][-1].settings
