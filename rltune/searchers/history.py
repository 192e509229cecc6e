"""What a sweep has tried so far: the whole memory of a searcher."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rltune.runs.folder import RunFolder
from rltune.spec import FormerTrial

Status = Literal["running", "ended", "stopped", "failed"]


@dataclass
class PastTrial:
    """A trial as a searcher sees it.

    Attributes:
        id: its name; of a trial of a former run, ``first/t03``.
        settings: the searched settings that it started with.
        seed: its training seed.
        setting: number of its settings: trials with the same number differ in their seeds alone.
        status: "running": nothing is known for good, the suggestion is pending; "ended": at its
            budget or by itself; "stopped" early, by the scheduler; "failed": an error, or a number
            that was not finite.
        ended_before: how many settings the sweep had tried when it ended; None while it runs. Of
            trials that ended before the same number nobody knows which ended first.
        scores: the score of each report by the trial's clock, larger is better; None where a
            report had none.
        further: the same of all objectives but the first, where there are several.
        spent: training seconds at each report, where the searcher is to know them.
    """

    id: str
    settings: Mapping[str, Any]
    seed: int = 0
    setting: int = 0
    status: Status = "running"
    ended_before: int | None = None
    scores: dict[int, float | None] = field(default_factory=dict)
    further: dict[int, tuple[float | None, ...]] = field(default_factory=dict)
    spent: dict[int, float] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """The last finite score, larger is better; None where there is none, or it failed."""
        return None if self.status == "failed" else self.last

    @property
    def last(self) -> float | None:
        """The last finite score, whatever became of the trial."""
        return last_finite(self.scores.values())

    @property
    def all_scores(self) -> tuple[float | None, ...]:
        """The last finite score of each objective, the first one's first; None for a failure."""
        if self.status == "failed":
            return (None,)
        return (self.last, *map(last_finite, zip(*self.further.values(), strict=True)))

    @property
    def seconds(self) -> float:
        """Training seconds at the last report; 0 where they are not known."""
        return next(reversed(self.spent.values()), 0.0)

    @property
    def clock(self) -> int:
        """Its age in environment steps at the last report; 0 before the first."""
        return next(reversed(self.scores), 0)


class History:
    """Every trial that a sweep has started, in that order, and those of former runs before them.

    It is part of a sweep's saved state, without the scores: a resume reads those from the trials'
    reports. A searcher therefore needs no state of its own: see
    :class:`rltune.searchers.Searcher`.

    >>> history = History()
    >>> history.started("t00", {"lr": 1e-3}, seed=7)
    >>> history.started("t01", {"lr": 1e-4}, seed=8)
    >>> history.reported("t00", 500, 21.0)
    >>> history.ended("t00")
    >>> [(trial.id, trial.status, trial.score) for trial in history.trials]
    [('t00', 'ended', 21.0), ('t01', 'running', None)]
    >>> [trial.status for trial in history.before(1).trials]
    ['running']

    Args:
        former: trials of former runs; those that are left out say nothing here.
    """

    def __init__(self, former: Iterable[FormerTrial] = ()) -> None:
        self._former = [
            PastTrial(
                one.id,
                one.settings,
                one.seed,
                status=one.status,
                ended_before=0,
                scores=dict(one.scores),
                further={0: tuple(one.further)} if one.further else {},
            )
            for one in former
            if not one.left_out
        ]
        self._own: dict[str, PastTrial] = {}
        #: The same trials by the number of their settings, and as a state holds them.
        self._settings: dict[int, list[PastTrial]] = {}
        self._saved: dict[str, Mapping[str, Any]] = {}
        self._stopped: set[str] = set()

    @property
    def trials(self) -> list[PastTrial]:
        """Every trial: first those of former runs, then the sweep's in the order of their start."""
        return [*self._former, *self._own.values()]

    @property
    def running(self) -> list[PastTrial]:
        """Trials whose outcome is not known yet."""
        return [trial for trial in self._own.values() if trial.status == "running"]

    @property
    def over(self) -> list[PastTrial]:
        """Trials whose outcome is known."""
        return [trial for trial in self.trials if trial.status != "running"]

    def __len__(self) -> int:
        """Trials that this sweep has started."""
        return len(self._own)

    def before(self, count: int) -> History:
        """The history as it was when ``count`` settings of this sweep had been tried.

        Scores of trials that still ran then are left out.
        """
        past = History()
        past._former = self._former
        for trial in self._own.values():
            if trial.setting < count:
                known = trial.ended_before is not None and trial.ended_before <= count
                new = PastTrial(trial.id, trial.settings, trial.seed, trial.setting)
                past._add(trial if known else new)
        return past

    @property
    def former(self) -> list[PastTrial]:
        """Trials of former runs."""
        return self._former

    def settings(self) -> list[list[PastTrial]]:
        """The trials of each setting of this sweep, by the setting's number."""
        return [list(trials) for trials in self._settings.values()]

    def is_first(self, trial: str) -> bool:
        """Whether a trial is the first one of its settings."""
        past = self._own.get(trial)
        return past is None or self._settings[past.setting][0] is past

    # What happens to a trial ------------------------------------------------------------------

    def started(
        self, trial: str, settings: Mapping[str, Any], seed: int, setting: int | None = None
    ) -> None:
        """Notes a new trial and the searched settings that it starts with.

        Args:
            setting: number of these settings; None for new ones.
        """
        number = len(self._settings) if setting is None else setting
        self._add(PastTrial(trial, dict(settings), seed, number))

    def _add(self, trial: PastTrial) -> None:
        self._own[trial.id] = trial
        self._settings.setdefault(trial.setting, []).append(trial)
        self._note(trial)

    def _note(self, trial: PastTrial) -> None:
        known = ("scores", "further", "spent")
        self._saved[trial.id] = {n: value for n, value in vars(trial).items() if n not in known}

    def reported(
        self,
        trial: str,
        env_steps: int,
        score: float | None,
        further: tuple[float | None, ...] = (),
        seconds: float | None = None,
    ) -> None:
        """Notes a report; a trial that was taken back to a checkpoint reports it again.

        Args:
            further: scores of all objectives but the first.
            seconds: that the trial has trained, where the searcher is to know.
        """
        past = self._own.get(trial)
        if past is not None and past.status == "running":
            later = [clock for clock in past.scores if clock >= env_steps]
            for clock in later:
                del past.scores[clock]
                past.further.pop(clock, None)
                past.spent.pop(clock, None)
            past.scores[env_steps] = score
            if further:
                past.further[env_steps] = further
            if seconds is not None:
                past.spent[env_steps] = seconds

    def stopped(self, trial: str) -> None:
        """Notes that a scheduler has decided to end a trial, which it will do next."""
        self._stopped.add(trial)

    def ended(self, trial: str, failed: bool = False) -> None:
        """Notes that a trial is over."""
        if (past := self._own.get(trial)) is not None:
            stopped = trial in self._stopped
            past.status = "failed" if failed else "stopped" if stopped else "ended"
            past.ended_before = len(self._settings)
            self._note(past)

    # A resume ---------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Everything but the scores of this sweep's trials, as JSON holds it."""
        return {"trials": list(self._saved.values())}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues where :meth:`get_state` was called; the scores are read later."""
        self._own, self._settings, self._saved = {}, {}, {}
        for number, body in enumerate(state["trials"]):
            self._add(PastTrial(**{"setting": number, **body}))

    def read_scores(self, folder: RunFolder) -> None:
        """Reads the scores of the sweep's trials from their reports."""
        for trial in self._own.values():
            trial.scores = dict(scores_of(folder, trial.id))
            trial.further = further_of(folder, trial.id)
            if folder.spec.budget.cost_aware:
                rows = folder.reports(trial.id)
                trial.spent = {row.env_steps: row.train_seconds for row in rows}


def further_of(folder: RunFolder, trial: str) -> dict[int, tuple[float | None, ...]]:
    """The scores of further objectives in a trial's reports by its clock; empty without any."""
    spec = folder.spec
    if not spec.objective:
        return {}
    return {row.env_steps: spec.further_scores(row.numbers) for row in folder.reports(trial)}


def last_finite(scores: Iterable[float | None]) -> float | None:
    """The last score that is a finite number; None where there is none."""
    return next(filter(is_finite, reversed(list(scores))), None)


def scores_of(folder: RunFolder, trial: str) -> Iterator[tuple[int, float | None]]:
    """The score of each report of a trial by its clock, larger is better."""
    goal = folder.spec.goal
    return ((row.env_steps, goal.score_of(row.measured)) for row in folder.reports(trial))


def is_finite(score: float | None) -> bool:
    """Whether there is a score that is a finite number."""
    return score is not None and math.isfinite(score)
