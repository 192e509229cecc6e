"""Settings that are judged on several seeds: a race, in which only those that could win get more.

A setting is first trained on one seed. Whenever a place is free, a setting gets its next seed if it
is in the better half of those with at least as many seeds: asynchronous successive halving (Li et
al. 2020, arXiv 1810.05934) over seeds instead of steps, with a reduction factor of 2. Settings are
compared by all the seeds that they have: where a further seed shows that one was only lucky, the
next one in line takes its place. All settings are trained on the same seeds, in the same order.
What happens follows from the history alone: a resumed sweep continues the same race.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltune.options import Budget
from rltune.schedulers.base import Action, Scheduler, Turn
from rltune.searchers import Searcher, starting_point
from rltune.searchers.history import History, PastTrial
from rltune.spec import RunSpec
from rltune.statistics import iqm

#: What several scores come to, larger is better.
JUDGES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda scores: float(np.mean(scores)),
    "iqm": lambda scores: float(iqm(scores)),
    "worst": min,
}


@dataclass(frozen=True)
class Start:
    """A trial that starts.

    Attributes:
        setting: the number of its settings, in the order in which they were suggested.
        config: its whole configuration, with its seed.
    """

    setting: int
    config: Mapping[str, Any]


def next_start(spec: RunSpec, searcher: Searcher, history: History, index: int) -> Start | None:
    """The next trial; None where none is due now.

    Args:
        index: how many trials the sweep has started.
    """
    budget = spec.budget
    if budget.seeds_per_trial == 1:
        if index >= budget.trials:
            return None
        return Start(index, starting_point(spec, searcher, index, history))
    if reached(spec, history):
        return None
    setting = next_seed(history, budget)
    if setting is not None:
        trials = history.settings()[setting]
        known = {**spec.settings, **trials[0].settings}
        return Start(setting, {**known, "seed": spec.trial_seed(len(trials))})
    count = len(history.settings())
    if count >= budget.trials:
        return None
    point = starting_point(spec, searcher, count, JudgedHistory(history, budget.judge))
    return Start(count, {**point, "seed": spec.trial_seed(0)})


def is_over(spec: RunSpec, history: History, index: int) -> bool:
    """Whether no trial is left to start, once those that run have ended."""
    budget = spec.budget
    if budget.seeds_per_trial == 1:
        return index >= budget.trials
    if len(history.settings()) >= budget.trials and next_seed(history, budget) is None:
        return True
    return reached(spec, history)


def reached(spec: RunSpec, history: History) -> bool:
    """Whether settings with all their seeds come to the target: no other trial starts then."""
    budget = spec.budget
    if budget.seeds_per_trial == 1 or budget.target is None:
        return False
    best = winner(history, budget)
    if best is None:
        return False
    over = [trial for trial in history.settings()[best] if trial.status != "running"]
    score = judged(over, budget.judge)
    if len(over) < budget.seeds_per_trial or not math.isfinite(score):
        return False
    return spec.goal.reaches(spec.goal.score(score), budget.target)  # its own inverse


def next_seed(history: History, budget: Budget) -> int | None:
    """The number of the setting that gets another seed now; None where none does."""
    settings = history.settings()
    everyone = len(settings) >= budget.trials and not history.running
    for seeds in range(budget.seeds_per_trial - 1, 0, -1):
        scores = {
            number: judged(trials, budget.judge)
            for number, trials in enumerate(settings)
            if len(trials) >= seeds and all(trial.status != "running" for trial in trials[:seeds])
        }
        # Rounded up in the end, so that one setting has all its seeds.
        better = math.ceil(len(scores) / 2) if everyone else len(scores) // 2
        best = sorted(scores, key=lambda number: -scores[number])[:better]
        due = [n for n in best if len(settings[n]) == seeds and scores[n] > -math.inf]
        if due:
            return due[0]
    return None


def winner(history: History, budget: Budget) -> int | None:
    """The number of the best setting among those with the most seeds; None without any score."""
    scores = {
        number: (sum(trial.status != "running" for trial in trials), judged(trials, budget.judge))
        for number, trials in enumerate(history.settings())
    }
    able = {number: place for number, place in scores.items() if place[1] > -math.inf}
    return max(able, key=lambda number: (*able[number], -number), default=None)


def judged(trials: Sequence[PastTrial], judge: str) -> float:
    """What trials that are over come to; -inf where one failed, was stopped or has no score."""
    over = [trial for trial in trials if trial.status != "running"]
    scores = [trial.score for trial in over if trial.status == "ended"]
    if not over or len(scores) < len(over) or None in scores:
        return -math.inf
    return JUDGES[judge]([score for score in scores if score is not None])


class JudgedHistory(History):
    """A history of settings, as a searcher sees it: one entry each, over all seeds so far.

    Its score is what the judge makes of the seeds' last scores. A setting of which a seed failed
    has failed, one of which a seed was stopped was stopped.
    """

    def __init__(self, history: History, judge: str) -> None:
        super().__init__()
        self._raw, self._judge = history, judge
        self._former = history.former
        for number, trials in enumerate(history.settings()):
            self._add(_merged(f"s{number:02d}", trials, judge))

    def before(self, count: int) -> History:
        """The history as it was when ``count`` settings had started."""
        return JudgedHistory(self._raw.before(count), self._judge)


def _merged(name: str, trials: Sequence[PastTrial], judge: str) -> PastTrial:
    first = trials[0]
    over = [trial for trial in trials if trial.status != "running"]
    merged = PastTrial(name, first.settings, first.seed, first.setting)
    if not over:
        merged.scores = dict(first.scores)
        return merged
    statuses = {trial.status for trial in over}
    merged.status = next(one for one in ("failed", "stopped", "ended") if one in statuses)
    merged.ended_before = first.ended_before
    scores = [trial.last for trial in over if trial.last is not None]
    merged.scores = dict(first.scores)
    if scores:
        merged.scores[max(trial.clock for trial in over)] = JUDGES[judge](scores)
    return merged


class FirstSeeds:
    """A scheduler that decides about the first seed of each setting alone.

    Further seeds are of settings that were not stopped. Beside each other they would be weak where
    they are the best there are: each of them trains to its end, and the sooner the better.

    Implements :class:`rltune.schedulers.base.Scheduler`.
    """

    def __init__(self, scheduler: Scheduler, history: History) -> None:
        self._scheduler = scheduler
        self._history = history

    def _is_first(self, trial: str) -> bool:
        return self._history.is_first(trial)

    def added(self, trial: str, settings: Mapping[str, Any]) -> None:
        """Takes in a trial of a first seed."""
        if self._is_first(trial):
            self._scheduler.added(trial, settings)

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        """Decides about a first seed."""
        if not self._is_first(trial):
            return Action.CONTINUE
        return self._scheduler.reported(trial, report, others_wait)

    def saved(self, trial: str) -> None:
        """Passes it on."""
        if self._is_first(trial):
            self._scheduler.saved(trial)

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        """Passes it on."""
        if self._is_first(trial):
            self._scheduler.ended(trial, report)

    def choose(self, waiting: Sequence[str]) -> Turn:
        """Starts further seeds before anything else."""
        further = [trial for trial in waiting if not self._is_first(trial)]
        if further:
            return Turn(further[0])
        return self._scheduler.choose(waiting)

    def get_state(self) -> dict[str, Any]:
        """The scheduler's own."""
        return self._scheduler.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The scheduler's own."""
        self._scheduler.set_state(state)


def scheduled(scheduler: Scheduler, history: History, budget: Budget) -> Scheduler:
    """The scheduler of a sweep, which leaves further seeds alone where there are any."""
    return scheduler if budget.seeds_per_trial == 1 else FirstSeeds(scheduler, history)
