"""What is known of a sweep while it runs."""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field

from rltune.callbacks.base import (
    DecisionApplied,
    Event,
    Notice,
    StatusChanged,
    SweepEnded,
    TrialFailed,
    TrialReported,
)
from rltune.callbacks.phases import entered
from rltune.engine.episodes import LENGTH
from rltune.live import prediction
from rltune.live.prediction import Known, Outlook, Work
from rltune.metric import Metric
from rltune.options import UNTIL_RETURN
from rltune.request.notes import scored_episodes
from rltune.runs.names import number_of
from rltune.runs.records import Decision, Phase, Report
from rltune.runs.summary_record import Summary
from rltune.spec import JobSpec, RunSpec

#: Words of a trial's state, by Tune's.
STATES = {
    "PENDING": "waiting",
    "PAUSED": "waiting",
    "RUNNING": "running",
    "TERMINATED": "done",
    "ERROR": "failed",
}
#: Phases in which policies are played.
EVALUATION = ("choosing", "scoring")


@dataclass
class Member:
    """A trial of a sweep, or a member of a population.

    Attributes:
        rows: its reports, in order.
        status: Tune's word.
        changed: the last decision that changed its weights or settings; None while there is none.
        stopped: whether a scheduler ended it before its budget was spent.
        best: the report with the best score; None without any.
        touched: version of the model in which it last started, was stopped or copied another; 0
            for never.
    """

    id: str
    rows: list[Report] = field(default_factory=list)
    status: str = "RUNNING"
    changed: Decision | None = None
    stopped: bool = False
    best: Report | None = None
    touched: int = 0

    @property
    def number(self) -> int:
        """Its place in the order in which trials were made."""
        return number_of(self.id)

    @property
    def last(self) -> Report:
        """The newest report."""
        return self.rows[-1]

    @property
    def diverged(self) -> bool:
        """Whether its last report was not finite."""
        return self.last.diverged is not None

    @property
    def state(self) -> str:
        """What it is doing, in a word."""
        if self.diverged and self.status != "RUNNING":
            return "diverged"
        return "stopped" if self.stopped else STATES.get(self.status, self.status.lower())

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.stopped or self.status in ("TERMINATED", "ERROR")

    @property
    def began(self) -> float:
        """Second of the sweep at which it began."""
        return self.rows[0].wall_seconds - self.rows[0].train_seconds


class Progress:
    """What is known of a sweep: fed by its events, or by reading its run folder.

    Attributes:
        members: trials by name, also those that have not reported yet.
        phase: what the sweep is doing.
        notice: what a person was told last, until the next report; what the start is about.
        exploits: how often weights were copied.
        summary: what came out; None while the sweep runs.
        halted: whether no process works on it, although it has not ended.
        version: changes whenever any of it does.
    """

    def __init__(self, spec: RunSpec, job: JobSpec | None = None) -> None:
        self.spec, self.job = spec, job or JobSpec()
        self.members: dict[str, Member] = {}
        self.phases: list[Phase] = []
        self.notice = ""
        self.exploits = 0
        self.summary: Summary | None = None
        self.halted = False
        self.version = 0
        self._work: list[Work] = []
        self._outlook = Outlook()
        #: Reports at which the outlook is computed again: it takes a moment where they are many.
        self._due = 0

    # What comes in ----------------------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """Takes in an event of the sweep."""
        match event:
            case TrialReported(report=report):
                self.reported(report)
                self.notice = ""
            case StatusChanged(trial=trial, status=status):
                self.changed_status(trial, status)
            case DecisionApplied(decision=decision):
                self.decided(decision)
            case TrialFailed(trial=trial, continues_from=at) if at is not None:
                self.went_back(trial, at)
            case Notice(text=text):
                self.notice = text
            case SweepEnded(summary=summary):
                self.summary = summary
        if phase := entered(event, self.phase.name):
            self.entered(phase)
        self.version += 1

    def reported(self, report: Report) -> None:
        """Takes in a report. What the trial had reported past it before was lost."""
        member = self._member(report.trial)
        self.went_back(report.trial, report.env_steps - 1)
        member.touched = member.touched if member.rows else self.version
        insort(self._work, _work(report, member.rows[-1] if member.rows else None))
        member.rows.append(report)
        if self.score(report) > (-math.inf if member.best is None else self.score(member.best)):
            member.best = report
        self.version += 1

    def went_back(self, trial: str, env_steps: int) -> None:
        """A trial continues from a checkpoint: later reports no longer count."""
        member = self._member(trial)
        lost = 0
        while member.rows and member.rows[-1].env_steps > env_steps:
            member.rows.pop()
            lost += 1
        if lost:
            best = max(member.rows, key=self.score, default=None)
            member.best = None if best is None or self.score(best) == -math.inf else best

    def changed_status(self, trial: str, status: str) -> None:
        """Takes in Tune's word for a trial."""
        member = self._member(trial)
        if member.status != status:
            member.status = status
            self.version += 1

    def _member(self, trial: str) -> Member:
        return self.members.setdefault(trial, Member(trial))

    def decided(self, decision: Decision) -> None:
        """Takes in a decision that took effect."""
        member = self._member(decision.trial)
        member.touched = self.version
        if decision.kind == "stop":
            member.stopped = True
        elif decision.moved_weights or decision.kind == "change":
            member.changed = decision
            self.exploits += decision.moved_weights
        self.version += 1

    def entered(self, phase: Phase) -> None:
        """Takes in what the sweep is doing from now on."""
        self.phases.append(phase)
        self.version += 1

    # What is known ----------------------------------------------------------------------------

    @property
    def goal(self) -> Metric:
        """What is tuned."""
        return self.spec.goal

    @property
    def phase(self) -> Phase:
        """What the sweep is doing."""
        return self.phases[-1] if self.phases else Phase("starting", 0.0)

    @property
    def seconds_reported(self) -> float:
        """The sweep's clock at the last report."""
        return self._work[-1].second if self._work else 0.0

    def seconds(self, now: float) -> float:
        """The sweep's clock, resumed parts added up.

        Args:
            now: seconds since 1970.
        """
        if self.halted:
            return self.seconds_reported
        start = self._last("starting")
        seconds = start.before + now - start.time if start else 0.0
        return max(seconds, self.seconds_reported)

    def _last(self, name: str) -> Phase | None:
        return next((phase for phase in reversed(self.phases) if phase.name == name), None)

    def state(self, member: Member) -> str:
        """What a trial is doing, in a word."""
        if member.state != "running":
            return member.state
        if self.halted:
            return "halted"
        return "waiting" if self.phase.name == "starting" else "running"

    @property
    def done(self) -> int:
        """Environment steps on the clocks of all trials, of their budgets."""
        return sum(min(m.last.env_steps, self.spec.budget.steps) for m in self.seen)

    @property
    def total(self) -> int:
        """Environment steps of the whole budget; 0 where functions say when they are done."""
        budget = self.spec.budget
        return 0 if budget.steps == UNTIL_RETURN else budget.most_steps

    @property
    def seen(self) -> list[Member]:
        """Members that have reported."""
        return [member for member in self.members.values() if member.rows]

    def score(self, report: Report) -> float:
        """The metric of a report, larger is better; -inf where it has none."""
        score = None if report.diverged else self.goal.score_of(report.measured)
        return -math.inf if score is None or math.isnan(score) else score

    @property
    def best(self) -> Report | None:
        """The best report of all members but those that diverged, whose policies do not count."""
        bests = [m.best for m in self.seen if m.best is not None and not m.diverged]
        return max(bests, key=self.score, default=None)

    def outlook(self) -> Outlook:
        """When the sweep will end, on its clock, as of its last report."""
        if self.phase.name in EVALUATION:
            return Outlook(likely=self._evaluation_end())
        if len(self._work) >= self._due:
            self._due = len(self._work) + 1 + len(self._work) // 100
            self._outlook = prediction.predict(self.known())
        return self._outlook

    def known(self) -> Known:
        """What a prediction is made from."""
        trials = [
            prediction.Trial(
                member.last.env_steps, self._is_over(member), member.began, member.last.wall_seconds
            )
            for member in self.seen
        ]
        lengths = [
            member.last.measured[LENGTH] for member in self.seen if LENGTH in member.last.measured
        ]
        return Known(
            self.spec.budget,
            trials,
            self._work,
            scored_episodes(self.spec, self.job),
            max(lengths, default=None),
            "buffer_capacity" in self.spec.settings,
            self.seconds(training.time) if (training := self._last("training")) else 0.0,
        )

    def _is_over(self, member: Member) -> bool:
        return member.ended or member.last.env_steps >= self.spec.budget.steps

    def _evaluation_end(self) -> float | None:
        """At the speed of the episodes so far; of a training run, every seed has a score."""
        place = max(at for at, phase in enumerate(self.phases) if phase.name not in EVALUATION)
        phases = self.phases[place + 1 :]
        ends = [
            phase
            for phase, after in zip(phases, [*phases[1:], None], strict=True)
            if after is None or not after.done
        ]
        scored = 1 if self.job.searches else len(self.seen)
        left = ends[-1].of - ends[-1].done
        left += scored * self.spec.evaluation.episodes if ends[-1].name == "choosing" else 0
        return prediction.evaluation_end(
            self.seconds(phases[0].time),
            self.seconds(phases[-1].time),
            sum(phase.done for phase in ends),
            left,
        )


def _work(report: Report, before: Report | None) -> Work:
    """What a report adds to the one before it; the time of a trial may start again with it."""
    if before is None:
        return Work(report.wall_seconds, report.env_steps, report.train_seconds, True)
    seconds = report.train_seconds - before.train_seconds
    seconds = report.train_seconds if seconds <= 0 else seconds
    seconds = min(seconds, report.wall_seconds - before.wall_seconds)
    return Work(report.wall_seconds, report.env_steps - before.env_steps, seconds, False)
