"""HyperBand (Li et al. 2018, arXiv 1603.06560): brackets of trials, halved round by round."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rltune.runs.names import number_of
from rltune.schedulers.base import TIME, Action, SchedulerContext, Turn
from rltune.schedulers.brackets import Bracket, brackets


@dataclass
class Race:
    """What has happened in a bracket.

    Attributes:
        members: trials that have started in it.
        scores: of each rung, by trial; larger is better, None where it had none.
        kept: of each rung that is decided, the trials that went on.
    """

    members: list[str] = field(default_factory=list)
    scores: list[dict[str, float | None]] = field(default_factory=list)
    kept: list[list[str]] = field(default_factory=list)

    def copied(self) -> dict[str, Any]:
        """As JSON holds it; does not change with the race."""
        scores, kept = [dict(rung) for rung in self.scores], [list(rung) for rung in self.kept]
        return {"members": list(self.members), "scores": scores, "kept": kept}

    def level(self, trial: str) -> int:
        """The rung that a trial has to get to next, 0 for the first."""
        return sum(trial in rung for rung in self.scores)

    def waits(self, trial: str) -> bool:
        """Whether a trial is at a rung where others are missing."""
        return self.level(trial) > len(self.kept)

    def is_out(self, trial: str) -> bool:
        """Whether a trial was compared and is not among those that go on."""
        rungs = zip(self.scores, self.kept, strict=False)
        return any(trial in rung and trial not in kept for rung, kept in rungs)

    def rank(self, trial: str, rung: int) -> tuple[float, int]:
        """Sorts the best trial of a rung first; the earlier one of two equals."""
        score = self.scores[rung].get(trial)
        return (math.inf if score is None else -score, number_of(trial))

    def record(self, trial: str, score: float | None) -> None:
        """Takes in the score of a trial at its next rung.

        One that arrives after the rung was decided continues if it would have been kept.
        """
        rung = self.level(trial)
        self.scores[rung][trial] = score
        if rung < len(self.kept):
            kept = self.kept[rung]
            if not kept or self.rank(trial, rung) < max(self.rank(each, rung) for each in kept):
                kept.append(trial)

    def settle(self, bracket: Bracket, factor: int, ended: Collection[str]) -> None:
        """Decides every rung that all have got to who are still there."""
        while len(self.kept) < len(bracket.milestones):
            rung = len(self.kept)
            racing = self.kept[rung - 1] if rung else self.members
            there = [trial for trial in racing if trial not in ended]
            complete = rung > 0 or len(self.members) >= bracket.size
            if not complete or any(trial not in self.scores[rung] for trial in there):
                return
            places = math.ceil(bracket.size / factor ** (rung + 1))
            there.sort(key=lambda trial: self.rank(trial, rung))
            self.kept.append(there[:places])


class HyperBand:
    """Pauses trials at the rungs of their bracket until all of it are there; the best go on.

    Trials fill the brackets in the order in which they are added. A bracket of n trials lets the
    best n / ``reduction_factor`` go on from its first rung, the best of these from the next one,
    and so on. Trials that fail or end by themselves are not waited for, and leave their place to
    others. Those without a score are the worst. Decisions follow from the scores alone, whatever
    the order in which trials get to a rung.

    Tune's HyperBandForBOHB has the same brackets in the same order, and keeps as many.
    """

    def __init__(self, context: SchedulerContext) -> None:
        budget = context.spec.budget
        self._goal = context.spec.goal
        self._factor = budget.reduction_factor
        self._brackets = brackets(budget)
        self._races = [Race(scores=[{} for _ in each.milestones]) for each in self._brackets]
        self._live: set[str] = set()
        self._ended: set[str] = set()
        #: Scores at a rung, until the checkpoint that belongs to them is written.
        self._reported: dict[str, float | None] = {}

    def _place(self, trial: str) -> int:
        """The bracket of a trial: of a new one the first that has room, at last the last one."""
        known = (i for i, race in enumerate(self._races) if trial in race.members)
        room = (
            i
            for i, (race, bracket) in enumerate(zip(self._races, self._brackets, strict=True))
            if len(race.members) < bracket.size
        )
        return next(known, next(room, len(self._races) - 1))

    def added(self, trial: str, settings: Mapping[str, Any]) -> None:
        """Takes a new trial into its bracket, or one back that continues."""
        self._ended.discard(trial)
        self._live.add(trial)
        race = self._races[self._place(trial)]
        if trial not in race.members:
            race.members.append(trial)

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        """Pauses a trial that has got to its next rung."""
        place = self._place(trial)
        milestones = self._brackets[place].milestones
        level = self._races[place].level(trial)
        if level == len(milestones) or report[TIME] < milestones[level]:
            return Action.CONTINUE
        score = self._goal.score_of(report)
        self._reported[trial] = None if score is None or math.isnan(score) else score
        return Action.PAUSE

    def saved(self, trial: str) -> None:
        """Counts a trial's score: the checkpoint that it would continue from is written."""
        if trial in self._reported:
            self._races[self._place(trial)].record(trial, self._reported.pop(trial))

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        """Nobody waits for the trial any more; one that failed may come back."""
        self._ended.add(trial)
        self._live.discard(trial)
        self._reported.pop(trial, None)

    def choose(self, waiting: Sequence[str]) -> Turn:
        """Ends those that are out; a trial of the earliest bracket starts."""
        for race, bracket in zip(self._races, self._brackets, strict=True):
            race.settle(bracket, self._factor, self._ended)
        races = {trial: self._races[self._place(trial)] for trial in self._live}
        out = {trial for trial, race in races.items() if race.is_out(trial)}
        ready = [trial for trial in waiting if trial not in out and not races[trial].waits(trial)]
        return Turn(min(ready, key=number_of, default=None), stops=sorted(out, key=number_of))

    def get_state(self) -> dict[str, Any]:
        """What happened in the brackets, and which trials have ended."""
        return {"races": [race.copied() for race in self._races], "ended": sorted(self._ended)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues where :meth:`get_state` was called, perhaps with more trials than then."""
        races = [Race(**body) for body in state["races"]]
        self._races[: len(races)] = races
        self._ended = set(state["ended"])


def build(context: SchedulerContext) -> HyperBand:
    """HyperBand over environment steps; no rung is below ``perturb_every``."""
    return HyperBand(context)
