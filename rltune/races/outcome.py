"""What a race came to: the methods in their order, and which of them are told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rltune.errors import NothingUsable
from rltune.metric import Metric
from rltune.races.race import OUTCOME, REPORT, Race
from rltune.reports.comparison import outcome as score_of
from rltune.reports.numbers import bounds, number
from rltune.reports.run_view import RunView
from rltune.reports.write import RunReport
from rltune.runs.json_text import dumps
from rltune.schema import NullableFloat, Record
from rltune.statistics import behind_best, interval

#: Chance of calling one method better than another that is not, in the whole race.
LEVEL = 0.05
#: Repetitions that tell methods apart, at least.
FEWEST_REPETITIONS = 3


@dataclass(frozen=True, kw_only=True)
class Standing(Record):
    """What a method came to.

    Attributes:
        scores: of each repetition's best policy, on fresh episodes; NaN where none was usable.
        mean: of the scores that there are; ci95: its 95 % bootstrap interval, NaN of few of them.
        env_steps: of each repetition, cloned and discarded work included; seconds: their time.
        behind: p-value of being worse than the leader; NaN of the leader itself.
        verdict: "leads"; "level" with the leader, as far as the repetitions tell; "worse"; or
            "open" where there are too few of them.
    """

    method: str
    in_words: str
    scores: list[NullableFloat]
    mean: NullableFloat
    ci95: tuple[NullableFloat, NullableFloat]
    env_steps: list[int]
    seconds: list[float]
    behind: NullableFloat
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Outcome(Record):
    """What a race came to.

    Attributes:
        standings: of each method, the best mean first.
        sentence: who is ahead, in words.
    """

    metric: str
    total_steps: int
    repetitions: int
    standings: list[Standing]
    sentence: str
    report: str | None = None
    runs: list[str] = field(default_factory=list)


def conclude(race: Race) -> Outcome:
    """Reads what its runs came to, and writes it into the race's folder, with a report.

    Raises:
        NothingUsable: no repetition of any method has a score.
    """
    goal = race.laps[0].spec.goal
    found: dict[str, list[tuple[float, int, float]]] = {}
    for lap in race.laps:
        view = RunView.read(lap.folder.path)
        summary = view.summary
        assert summary is not None
        score = score_of(view)
        row = (math.nan if score is None else score, summary.env_steps, summary.wall_seconds)
        found.setdefault(lap.method.name, []).append(row)
    words = {method.name: method.in_words for method in race.methods}
    standings = ranked(goal, {name: [row[0] for row in rows] for name, rows in found.items()})
    told = [
        Standing(
            **one,
            in_words=words[one["method"]],
            env_steps=[row[1] for row in found[one["method"]]],
            seconds=[row[2] for row in found[one["method"]]],
        )
        for one in standings
    ]
    outcome = Outcome(
        metric=goal.name,
        total_steps=race.total_steps,
        repetitions=race.repetitions,
        standings=told,
        sentence=in_words(told, race.repetitions),
        report=REPORT,
        runs=[lap.spec.name for lap in race.laps],
    )
    report = RunReport.of(*(lap.folder.path for lap in race.laps))
    report.concluding(outcome.sentence).write(race.folder / REPORT)
    (race.folder / OUTCOME).write_text(dumps(outcome.to_dict(), indent=2) + "\n")
    return outcome


def ranked(goal: Metric, scores: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """The methods by their means, each held against the leader.

    A method is worse where Tukey's range test says so, paired by repetition, at a level of 5 % for
    the whole race; all others are level with the leader, however far their means are apart. A
    repetition without a usable policy counts as the worst score of the race.

    Args:
        scores: of each repetition, by method; methods share the seed of a repetition.

    Raises:
        NothingUsable: no repetition of any method has a score.
    """
    known = {name: [goal.score(one) for one in _known(of)] for name, of in scores.items()}
    if not any(known.values()):
        raise NothingUsable("no repetition of any method left a policy with a score")
    worst = min(min(of) for of in known.values() if of)
    values = {
        name: [worst if math.isnan(one) else goal.score(one) for one in of]
        for name, of in scores.items()
    }
    # Of equal means that of more scores leads: the worst score stands for those that are missing.
    places = {name: (float(np.mean(of)), len(known[name])) for name, of in values.items()}
    order = sorted(places, key=lambda name: places[name], reverse=True)
    few = min(map(len, values.values())) < FEWEST_REPETITIONS
    behind = [1.0] * len(order) if few else behind_best([values[name] for name in order])
    return [
        {
            "method": name,
            "scores": list(scores[name]),
            "mean": _mean(scores[name]),
            "ci95": interval(_known(scores[name])),
            "behind": math.nan if few or not place else float(behind[place]),
            "verdict": _beside(behind[place] <= LEVEL, few) if place else "leads",
        }
        for place, name in enumerate(order)
    ]


def _known(scores: Sequence[float]) -> list[float]:
    return [one for one in scores if not math.isnan(one)]


def _mean(scores: Sequence[float]) -> float:
    known = _known(scores)
    return float(np.mean(known)) if known else math.nan


def _beside(is_worse: bool, few: bool) -> str:
    return "open" if few else "worse" if is_worse else "level"


def in_words(standings: Sequence[Standing], repetitions: int) -> str:
    """Who is ahead, for somebody who has never heard of any of the methods."""
    leader = standings[0]
    mean = f"{leader.method} came to {number(leader.mean)} on average"
    if not math.isnan(leader.ci95[0]):
        mean += f" {bounds(leader.ci95)}"
    if lost := len(leader.scores) - len(_known(leader.scores)):
        of = f"{len(leader.scores) - lost} of {len(leader.scores)} repetitions"
        mean += f" of {of} ({lost} left no usable policy)"
    if repetitions < FEWEST_REPETITIONS:
        least = FEWEST_REPETITIONS
        few = f"{repetitions} repetitions do not tell methods apart, it takes {least}"
        return f"{mean}, the best; {few}"
    level = [one.method for one in standings if one.verdict == "level"]
    worse = [one.method for one in standings if one.verdict == "worse"]
    parts = [f"{mean}, the best"]
    if level:
        parts.append(f"{_listed(level)} may be as good: these repetitions do not tell them apart")
    if worse:
        parts.append(f"{_listed(worse)} {'is' if len(worse) == 1 else 'are'} worse, not by luck")
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
