"""What the population schedulers share: who trains next, who takes whose weights, and when.

A member trains for an interval, is saved, and waits. When its turn comes it continues from its own
checkpoint, or, where it is among the worst, from a changed copy of one of the best. The member
furthest behind comes first. Two members are compared at the same age, the last that both have
reached: the member that has just trained would look best otherwise. What is known of a member
changes only when its checkpoint is written: score and weights always belong together, so that a
sweep killed at any moment continues as if nothing had happened (ray 30838, ray PR 48616).

How to explore is up to an :class:`rltune.schedulers.explorer.Explorer`. Source: Jaderberg et al.
2017. The last members may be controls, which train as the others do, and are neither copied nor
changed: what they come to is what a population has to beat.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from rltune.errors import BadCheckpoint
from rltune.runs import checkpoints
from rltune.runs.checkpoints import REPLAY_FILE
from rltune.runs.names import number_of
from rltune.runs.records import Decision, Exploit
from rltune.schedulers.base import TIME, Action, Change, SchedulerContext, Turn
from rltune.schedulers.explorer import Explorer
from rltune.schedulers.ranking import Ranking, as_score


@dataclass(frozen=True)
class MemberState:
    """What is known of a member as of its last checkpoint.

    Attributes:
        env_steps: its clock.
        scores: its score at the end of each interval, larger is better; None where it had none.
        next_due: environment steps at which its interval is over.
        waits: whether its interval is over and nothing has been decided yet.
        diverged: whether something was not finite.
        seconds: that it has trained.
        cloned_at: intervals it had behind it when it last took another's weights: its returns up
            to there were not its own present weights'.
    """

    env_steps: int = 0
    scores: tuple[float | None, ...] = ()
    next_due: int = 0
    waits: bool = False
    diverged: bool = False
    cloned_at: int = 0
    seconds: float = 0.0

    @property
    def score(self) -> float | None:
        """Its last return."""
        return self.scores[-1] if self.scores else None

    def lead(self, over: MemberState) -> float:
        """By how much its return was the higher one, at the age that both have reached.

        NaN where that says nothing: one has no return yet, this one diverged, or the other has
        taken other weights since.
        """
        mine, others = self.scores, over.scores
        age = min(len(mine), len(others))
        if self.diverged or age <= over.cloned_at:
            return math.nan
        own, other = as_score(mine[age - 1]), as_score(others[age - 1])
        return 0.0 if own == other else own - other


class Population:
    """PBT in both its modes. A member keeps its own clock: weights move, time does not.

    Structural settings (the network's, the environments') go with the weights, unchanged.
    """

    def __init__(self, context: SchedulerContext, explorer: Explorer) -> None:
        self._context = context
        self._budget = context.spec.budget
        self._goal = context.spec.goal
        self.explorer = explorer
        self.members: dict[str, MemberState] = {}
        #: The whole configuration of every trial that was ever added.
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._ended: set[str] = set()
        #: Every live member that has a return, and is old enough to be counted.
        self._ranking = Ranking()
        #: Reports that end an interval, until the checkpoint that belongs to them is written.
        self._reported: dict[str, Mapping[str, Any]] = {}
        #: Those of them whose member continues at once, with nothing to decide.
        self._alone: set[str] = set()
        self.rng = np.random.default_rng([context.spec.seed, 4])

    # What happens to a member -----------------------------------------------------------------

    def added(self, trial: str, settings: Mapping[str, Any]) -> None:
        """Takes in a new member, a resumed one, or one that is tried again after a failure."""
        self._settings[trial] = settings
        self._ended.discard(trial)
        self.members.setdefault(trial, MemberState(next_due=self._budget.perturb_every))
        self._rank(trial)

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        """Ends the interval where it is over: the member is saved, and waits."""
        if report[TIME] < self.members[trial].next_due and not _diverged(report):
            return Action.CONTINUE
        if _diverged(report) and self._is_control(trial):
            return Action.STOP
        self._reported[trial] = report
        if not others_wait and self._continues_alone(trial, report):
            self._alone.add(trial)
            return Action.SAVE
        return Action.PAUSE

    def saved(self, trial: str) -> None:
        """Counts a member's last report: the checkpoint that belongs to it is written."""
        report = self._reported.pop(trial, None)
        if report is None:
            return
        every = self._budget.perturb_every
        member = self.members[trial] = replace(
            self._with(self.members[trial], report),
            env_steps=report[TIME],
            seconds=report.get("time_total_s", 0.0),
            diverged=_diverged(report),
            next_due=(report[TIME] // every + 1) * every,
            waits=trial not in self._alone,
        )
        self._rank(trial)
        if _finite(member.score) and not (member.diverged or self._is_control(trial)):
            score = float(member.score or 0.0)
            self.explorer.observe(trial, member.env_steps, score, self._settings[trial])
        self._alone.discard(trial)

    def _with(self, member: MemberState, report: Mapping[str, Any]) -> MemberState:
        return replace(member, scores=(*member.scores, self._goal.score_of(report)))

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        """Makes the member neither donor nor clone any more; one that failed may come back."""
        self._ended.add(trial)
        self._rank(trial)
        self._reported.pop(trial, None)
        self._alone.discard(trial)

    # Whose turn it is -------------------------------------------------------------------------

    def choose(self, waiting: Sequence[str]) -> Turn:
        """The member that is furthest behind: nobody starves."""
        members, changes = self.members, list[Change]()
        learners = [trial for trial in self._live() if not self._is_control(trial)]
        if learners and all(members[trial].diverged for trial in learners):
            return Turn(stops=learners)  # nobody is left whom they could copy
        if self._budget.synchronous and all(members[trial].waits for trial in self._live()):
            changes = self._settle(list(self._live()))
        for trial in sorted(waiting, key=lambda t: (members[t].env_steps, number_of(t))):
            if self.members[trial].waits and not self._budget.synchronous:
                changes += self._settle([trial])
            # A diverged member waits on, for somebody to copy.
            if not self.members[trial].waits:
                return Turn(trial, changes)
        return Turn(None, changes)

    def _settle(self, trials: Sequence[str]) -> list[Change]:
        """Decides what members continue from: their own weights, or a donor's."""
        donors = {trial: self._donor(trial) for trial in trials}
        # A donor's configuration is what it ran at, also where it becomes a clone itself.
        settings = dict(self._settings)
        changes = [
            self._exploit(trial, donor, settings)
            for trial, donor in donors.items()
            if donor is not None
        ]
        for trial in trials:
            member = self.members[trial]
            self.members[trial] = replace(member, waits=member.diverged)
        return changes

    def _continues_alone(self, trial: str, report: Mapping[str, Any]) -> bool:
        """Whether a member, for which nobody waits, keeps its weights and so its process."""
        if self._budget.synchronous or _diverged(report):
            return False
        return not self._may_change(trial, self._with(self.members[trial], report))

    def _may_change(self, trial: str, member: MemberState) -> bool:
        """Whether a member may take another's weights at the end of its interval."""
        return self._is_low(trial, member)

    # Whose weights ----------------------------------------------------------------------------

    def _is_control(self, trial: str) -> bool:
        return number_of(trial) >= self._budget.first_control

    def _ranking_of(self, trial: str) -> Ranking:
        """The members that one is compared with."""
        return self._ranking

    def _live(self) -> Iterator[str]:
        return (trial for trial in self._settings if trial not in self._ended)

    def _rank(self, trial: str) -> None:
        """Ranks a member, of which something has changed."""
        if self._is_control(trial):
            return
        member, ranking = self.members.get(trial), self._ranking_of(trial)
        known = member is not None and trial in self._settings and trial not in self._ended
        if not known or member is None:
            ranking.remove(trial)
            return
        old_enough = member.score is not None and member.env_steps >= self._budget.burn_in
        if member.diverged or old_enough:
            ranking.put(trial, member.scores, counts=not member.diverged)
        else:
            ranking.remove(trial)

    def _quantile(self, count: int) -> int:
        """Members of that many that are replaced, and as many that are copied."""
        return min(math.ceil(count * self._budget.quantile), count // 2)

    def _is_low(self, name: str, member: MemberState) -> bool:
        """Whether a member belongs to the worst quantile; among equals the later ones do."""
        if self._is_control(name):
            return False
        ranking = self._ranking_of(name)
        others = len(ranking) - (name in ranking)
        low = self._quantile(others + 1)
        if low == 0:
            return False
        return ranking.above(name, member.scores, member.cloned_at) > others - low

    def _donor(self, trial: str) -> str | None:
        """One of the best at random; the next best where its checkpoint is damaged."""
        clone = self.members[trial]
        if not (clone.diverged or self._is_low(trial, clone)):
            return None
        ranking = self._ranking_of(trial)
        if trial not in ranking:
            return None
        count = max(1, self._quantile(len(ranking)))
        return self._one_of(ranking.best(count), ranking.after(count), clone)

    def _one_of(self, best: Sequence[str], others: Iterable[str], clone: MemberState) -> str | None:
        """One of the best at random; of the others the first, where none of them will do."""
        give = [name for name in best if self._gives(self.members[name], clone)]
        shuffled = (give[i] for i in self.rng.permutation(len(give)))
        further = (name for name in others if self._gives(self.members[name], clone))
        return next(filter(self._intact, chain(shuffled, further)), None)

    def _gives(self, donor: MemberState, clone: MemberState) -> bool:
        """Whether a member is a donor for another: healthy, and better by more than the margin."""
        if donor is clone or donor.diverged or not _finite(donor.score):
            return False
        if 0 < donor.cloned_at == len(donor.scores):
            return False  # its checkpoint is still of the weights that it gave up
        return clone.diverged or donor.lead(clone) > self._budget.margin

    def _intact(self, name: str) -> bool:
        path = self._context.checkpoint_of(name)
        if path is None:
            return False
        try:
            checkpoints.verify(path, self._context.spec.algo, skip=(REPLAY_FILE,))
        except BadCheckpoint as error:
            self._context.noticed(f"{name} is no donor now: {error}")
            return False
        return True

    def _changed(
        self, trial: str, donor: str, settings: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """The configuration of a clone; ``settings`` are those that every member ran at."""
        score = float(self.members[donor].score or 0.0)
        changed = self.explorer.explore(
            trial, self.members[trial].env_steps, score, settings[donor]
        )
        return {**settings[donor], **changed}

    def _exploit(self, trial: str, donor: str, settings: Mapping[str, Mapping[str, Any]]) -> Change:
        """Makes the member's next start a changed copy of the donor."""
        member, other = self.members[trial], self.members[donor]
        source, memory = map(self._context.checkpoint_of, (donor, trial))
        changed = self._changed(trial, donor, settings)
        own = None if memory is None else str(memory)
        exploit = Exploit(donor, member.env_steps, own, member.seconds)
        kept = {"seed": self._settings[trial]["seed"], "exploit": exploit.to_dict()}
        self._settings[trial] = {**changed, **kept}
        self.members[trial] = replace(member, cloned_at=len(member.scores), diverged=False)
        self._rank(trial)
        searched = {name: self._settings[trial][name] for name in self._context.spec.space}
        decision = Decision(
            kind="exploit",
            env_steps=member.env_steps,
            trial=trial,
            donor=donor,
            donor_env_steps=other.env_steps,
            requested=searched,
        )
        return Change(decision, self._settings[trial], source)

    # A resume ---------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Members, explorer and random generator, as JSON holds them."""
        return {
            "members": {name: vars(member) for name, member in self.members.items()},
            "explorer": self.explorer.get_state(),
            "rng": self.rng.bit_generator.state,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues where :meth:`get_state` was called; trials are added afterwards."""
        self.members = {
            name: MemberState(**{**body, "scores": tuple(body["scores"])})
            for name, body in state["members"].items()
        }
        for trial in self._settings:
            self._rank(trial)
        self.explorer.set_state(state["explorer"])
        self.rng.bit_generator.state = state["rng"]


def _diverged(report: Mapping[str, Any]) -> bool:
    return "diverged/what" in report


def _finite(score: float | None) -> bool:
    return score is not None and math.isfinite(score)
