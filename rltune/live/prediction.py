"""When a sweep will end, from what its trials have done so far: a bound and a likely end.

Pure functions of numbers, on the clock of the sweep: seconds since it began, resumed parts added
up. They depend on reports alone, so that a prediction stands still between two of them.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rltune.options import UNTIL_RETURN, Budget
from rltune.schedulers import row
from rltune.schedulers.asha import rungs
from rltune.schedulers.brackets import brackets

#: Factor by which the time that is left may turn out longer than the speed so far says.
SLACK = 1.5
#: Seconds that trials have for their last report once time is up, see rltune.sweeps.stopping.
GRACE = 30.0
#: Share of the time so far after which speed is measured: how fast a trial is changes at first,
#: when replay buffers fill. A bound takes the slower of this speed and that of the whole time.
MEASURED_FROM = 0.5
#: Reports from which a speed is measured, at least.
FEWEST_REPORTS = 4
#: Steps a second that a policy plays at in evaluation, on all cores, where training is slower.
PLAYED_PER_SECOND = 5_000.0
#: What playing is faster than training, at least and at most; and where each step is trained on
#: many times, out of a replay buffer.
PLAYS_FASTER, REPLAYS = (1.5, 10.0), (5.0, 100.0)
#: Seconds that scoring takes besides its episodes, as usual and at most.
AROUND_SCORING = 1.5, 5.0


@dataclass(frozen=True)
class Trial:
    """A trial as of its last report.

    Attributes:
        env_steps: on its clock.
        ended: whether nothing is left to do.
        began: second at which it began; ``reported``: of its last report.
    """

    env_steps: int
    ended: bool
    began: float
    reported: float


class Work(NamedTuple):
    """A report.

    Attributes:
        second: at which it came.
        env_steps: that it added to the clock of its trial.
        seconds: that these took.
        is_first: whether it is the trial's first one: before learning starts, steps are cheap.
    """

    second: float
    env_steps: int
    seconds: float
    is_first: bool


@dataclass(frozen=True)
class Known:
    """What a prediction is made from.

    Attributes:
        budget: of the sweep.
        trials: those that have reported.
        work: the reports in the order of time.
        episodes: that will be played for choosing and scoring policies.
        episode_steps: mean length of an episode; None where it is not known.
        replays: whether the algorithm has a replay buffer.
        since: second since which the sweep trains without a break.
    """

    budget: Budget
    trials: Sequence[Trial]
    work: Sequence[Work]
    episodes: int = 0
    episode_steps: float | None = None
    replays: bool = False
    since: float = 0.0


@dataclass(frozen=True)
class Outlook:
    """Ends of a sweep, in seconds on its clock; None where nothing can be said.

    Attributes:
        at_most: bound, at the speed so far with some slack, if every trial trains to its end.
        likely: where the sweep probably ends. None with a target: nobody knows when it is reached.
    """

    at_most: float | None = None
    likely: float | None = None


def predict(known: Known) -> Outlook:
    """Predicts the end of a sweep that trains."""
    budget = known.budget
    speed, whole = _speed(known, MEASURED_FROM), _speed(known, 0.0)
    if speed is None or whole is None:
        limit = budget.time_budget
        return Outlook(at_most=None if limit is None else limit + GRACE)
    now = max(trial.reported for trial in known.trials)
    until_return = budget.steps == UNTIL_RETURN
    at_most = None
    if not until_return:
        most = [budget.steps] * len(known.trials)
        unseen = [budget.steps] * (budget.most_trials - len(known.trials))
        left = max(_left(known, most, unseen, each) for each in (speed, whole))
        at_most = now + SLACK * left + _scoring(known, speed, usual=False)
    likely = None
    if not math.isfinite(math.inf if budget.target is None else budget.target):
        likely = _likely(known, now, speed)
    found = _within_steps(known, now, speed, Outlook(at_most, likely))
    return _within_time(budget, known, speed, found)


def evaluation_end(began: float, now: float, done: int, left: int) -> float | None:
    """The likely end while policies are chosen and scored, at the speed of the episodes so far.

    Args:
        began: second at which the first episode began; ``now``: of the last news.
        done: episodes that have been played; ``left``: those that will be.
    """
    return now + (now - began) / done * left if done else None


def _likely(known: Known, now: float, speed: Speed) -> float | None:
    finals = _finals(known)
    if finals is None:
        return None
    own, unseen = finals
    return now + _left(known, own, unseen, speed) + _scoring(known, speed, usual=True)


def _within_steps(known: Known, now: float, speed: Speed, found: Outlook) -> Outlook:
    """The same under the steps that all trials may spend together."""
    total = known.budget.total_steps
    if total is None:
        return found
    left = max(0, total - sum(work.env_steps for work in known.work)) / speed.together
    most = now + SLACK * left + _scoring(known, speed, usual=False)
    likely = now + left + _scoring(known, speed, usual=True)
    return Outlook(
        most if found.at_most is None else min(found.at_most, most),
        None if found.likely is None else min(found.likely, likely),
    )


def _within_time(budget: Budget, known: Known, speed: Speed, found: Outlook) -> Outlook:
    """The same under the time budget, after which policies are still scored."""
    if budget.time_budget is None:
        return found
    most = budget.time_budget + GRACE + _scoring(known, speed, usual=False)
    likely = budget.time_budget + _scoring(known, speed, usual=True)
    return Outlook(
        most if found.at_most is None else min(found.at_most, most),
        None if found.likely is None else min(found.likely, likely),
    )


# Speed ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """How fast trials train.

    Attributes:
        together: environment steps a second of all trials.
        trials: that were at it, on average; those that take turns count while they wait.
    """

    together: float
    trials: float


def _speed(known: Known, start: float) -> Speed | None:
    """The speed since a share of the time so far; None while too little is known."""
    if len(known.work) < FEWEST_REPORTS:
        return None
    began, now = min(trial.began for trial in known.trials), known.work[-1].second
    for measured in (max(began, known.since) + start * (now - max(began, known.since)), began):
        recent = known.work[bisect(known.work, measured, key=lambda work: work.second) :]
        if len(recent) >= FEWEST_REPORTS:
            break
    learning = [work for work in recent if not work.is_first] or recent
    steps, seconds = (sum(getattr(work, name) for work in learning) for name in Work._fields[1:3])
    within = sum(min(work.seconds, work.second - measured) for work in recent)
    busy = sum(
        max(0.0, (trial.reported if trial.ended else now) - max(measured, trial.began))
        for trial in known.trials
    )
    if min(busy, steps, seconds) <= 0:
        return None
    return Speed(within / (now - measured) * steps / seconds, busy / (now - measured))


def _slots(trials: Sequence[Trial]) -> int:
    """The most trials that ever ran at a time."""
    last = max(trial.reported for trial in trials)
    changes = [(trial.began, 1) for trial in trials]
    changes += [(trial.reported if trial.ended else last, -1) for trial in trials]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return max(1, most)


def _left(known: Known, finals: Sequence[float], unseen: Sequence[float], speed: Speed) -> float:
    """Seconds of training that are left.

    Trials that take turns share the machine to the end. Others keep their places: what the busiest
    place still has to do, trials that run first, then those that wait.

    Args:
        finals: environment steps at which each trial that is known ends; ``unseen``: the others.
    """
    pairs = zip(known.trials, finals, strict=True)
    left = [max(0.0, final - trial.env_steps) for trial, final in pairs if not trial.ended]
    if row(known.budget.scheduler).pauses is not None:
        return (sum(left) + sum(unseen)) / speed.together
    slots = [0.0] * _slots(known.trials)
    for steps in [*sorted(left, reverse=True), *unseen]:
        heapq.heapreplace(slots, slots[0] + steps)
    return max(slots) * speed.trials / speed.together


def _scoring(known: Known, speed: Speed, usual: bool) -> float:
    """Seconds of choosing and scoring: as usual, or as slow as training was."""
    if not known.episodes or not known.episode_steps:
        return 0.0
    factors = REPLAYS if known.replays else PLAYS_FASTER
    slow, fast = (factor * speed.together for factor in factors)
    rate = min(max(slow, PLAYED_PER_SECOND), fast) if usual else slow
    around = AROUND_SCORING[0 if usual else 1]
    return around + known.episodes * known.episode_steps / rate


# Where trials end -----------------------------------------------------------------------------


def _finals(known: Known) -> tuple[list[float], list[float]] | None:
    """Environment steps at which trials are expected to end: those that are known, the others."""
    budget = known.budget
    count = _expected_trials(budget) - len(known.trials)
    if budget.scheduler == "asha":
        ends = _halved(known)
    elif budget.scheduler in ("hyperband", "bohb"):
        mean = _bracket_mean(budget)
        ends = [(0.0, mean), (mean, float(budget.steps))]
    else:
        ended = [trial.env_steps for trial in known.trials if trial.ended]
        if budget.steps == UNTIL_RETURN:
            if not ended:
                return None
            ends = [(0.0, sum(ended) / len(ended))]
        else:
            ended.append(budget.steps)  # most schedulers let the best train to its end
            ends = [(0.0, sum(ended) / len(ended))]
            ends += [(at, _mean_above(ended, at)) for at in sorted(set(ended))[:-1]]
    own = [
        [end for at, end in ends if at <= trial.env_steps or at == 0][-1] for trial in known.trials
    ]
    return own, [ends[0][1]] * max(0, count)


def _mean_above(values: Sequence[int], least: int) -> float:
    above = [value for value in values if value > least]
    return sum(above) / len(above)


def _expected_trials(budget: Budget) -> int:
    """Trials of a sweep; of a race over seeds, those that the better half of the settings get."""
    return sum(math.ceil(budget.trials / 2**k) for k in range(budget.seeds_per_trial))


def _halved(known: Known) -> list[tuple[float, float]]:
    """Ages, and the expected end of a trial that is past each of them, under ASHA.

    The share that passes a rung lies between that of the trials so far, of which the first ones had
    nobody to beat, and that which the scheduler lets pass in the long run.
    """
    budget = known.budget
    milestones = sorted(rung.milestone for rung in rungs(budget) if rung.milestone < budget.steps)
    ends = [(float(milestones[-1]) if milestones else 0.0, float(budget.steps))]
    above = float(budget.steps)
    for place in reversed(range(len(milestones))):
        at = milestones[place]
        after = milestones[place + 1] if place + 1 < len(milestones) else budget.steps
        reached = [trial for trial in known.trials if trial.env_steps >= at]
        stopped = [trial for trial in reached if trial.ended and trial.env_steps < after]
        share = 1 / budget.reduction_factor
        if reached:
            share = (share + 1 - len(stopped) / len(reached)) / 2
        above = (1 - share) * at + share * above
        ends.append((float(milestones[place - 1]) if place else 0.0, above))
    return sorted(ends)


def _bracket_mean(budget: Budget) -> float:
    """Environment steps of a trial in HyperBand's brackets, on average."""
    steps = trials = 0.0
    for bracket in brackets(budget):
        left, before = float(bracket.size), 0
        trials += bracket.size
        for at in (*bracket.milestones, budget.steps):
            steps += left * (at - before)
            left, before = max(1.0, left // budget.reduction_factor), at
    return steps / max(1.0, trials)
