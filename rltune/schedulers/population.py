"""What the population schedulers share: who trains next, who takes whose weights, and when.

A member trains for an interval, is saved, and waits. When its turn comes it goes on from its own
checkpoint, or, where it is among the worst, from a changed copy of one of the best. The member
furthest behind comes first. Two members are compared at the same age, the last that both have
reached: whoever has just trained would look best otherwise. What is known of a member changes only
when its checkpoint is written: score and weights always belong together, so that a sweep killed at
any moment goes on as if nothing had been (ray 30838, ray PR 48616).

How to explore is another question, answered by an :class:`Explorer`. Source: Jaderberg et al. 2017.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ray.train._internal.checkpoint_manager import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from rltune.errors import BadCheckpoint
from rltune.runs import checkpoints
from rltune.runs.checkpoints import REPLAY_FILE
from rltune.schedulers.base import TIME, Decision, SchedulerContext
from rltune.schedulers.reuse_actors import ReuseActorsMixin


class Explorer(Protocol):
    """Chooses new settings for a member that takes a donor's weights."""

    def observe(self, member: str, env_steps: int, score: float, values: Mapping[str, Any]) -> None:
        """The end of a member's interval: its return, and the settings it ran at."""

    def explore(
        self, member: str, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> dict[str, Any]:
        """New values of the mutable settings.

        Args:
            env_steps: the member's own clock.
            score: the return of the donor.
            donor: its whole configuration.
        """

    def get_state(self) -> dict[str, Any]:
        """Everything that later choices depend on, as JSON holds it."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where :meth:`get_state` was called."""


@dataclass
class MemberState:
    """What is known of a member as of its last checkpoint.

    Attributes:
        env_steps: its clock.
        scores: its score at the end of each interval, larger is better; None where it had none.
        next_due: environment steps at which its interval is over.
        waits: whether its interval is over and nothing has been decided yet.
        diverged: whether something was not finite.
        cloned_at: intervals it had behind it when it last took another's weights: its returns up
            to there were not its own present weights'.
    """

    env_steps: int = 0
    scores: list[float | None] = field(default_factory=list)
    next_due: int = 0
    waits: bool = False
    diverged: bool = False
    cloned_at: int = 0

    @property
    def score(self) -> float | None:
        """Its last return."""
        return self.scores[-1] if self.scores else None

    def lead(self, over: MemberState) -> float:
        """By how much its return was the higher one, at the age that both have reached.

        NaN where that says nothing: one has no return yet, this one diverged, or the other has
        taken other weights since.
        """
        age = min(len(self.scores), len(over.scores))
        if self.diverged or age <= over.cloned_at:
            return math.nan
        mine, other = _as_score(self.scores[age - 1]), _as_score(over.scores[age - 1])
        return 0.0 if mine == other else mine - other


class Population(ReuseActorsMixin, FIFOScheduler):
    """PBT in both its modes. A member keeps its own clock: weights move, time does not.

    Structural settings (the network's, the environments') go with the weights, unchanged.
    """

    def __init__(self, context: SchedulerContext, explorer: Explorer) -> None:
        super().__init__()
        self._context = context
        self._budget = context.spec.budget
        self._goal = context.spec.goal
        self.explorer = explorer
        self.members: dict[str, MemberState] = {}
        self._trials: dict[str, Trial] = {}
        #: Reports that end an interval, until the checkpoint that belongs to them is written.
        self._reported: dict[str, Mapping[str, Any]] = {}
        #: Those of them whose member goes on at once, with nothing to decide.
        self._alone: set[str] = set()
        self.rng = np.random.default_rng([context.spec.seed, 4])

    # What Tune tells --------------------------------------------------------------------------

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A new member, one of before a resume, or one that is tried again after a failure."""
        super().on_trial_add(tune_controller, trial)
        self._trials[trial.trial_id] = trial
        first = MemberState(next_due=self._budget.perturb_every)
        self.members.setdefault(trial.trial_id, first)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Ends the interval where it is over: the member is saved, and waits."""
        member = self.members[trial.trial_id]
        diverged = "diverged/what" in result
        if result[TIME] < member.next_due and not diverged:
            return str(self.CONTINUE)
        self._reported[trial.trial_id] = result
        if self._goes_on_alone(trial, result):
            self._alone.add(trial.trial_id)
            tune_controller._schedule_trial_save(trial, result)
            return str(self.CONTINUE)
        return str(self.PAUSE)

    def saved(self, trial: Trial) -> None:
        """The checkpoint is written that belongs to a member's last report."""
        result = self._reported.pop(trial.trial_id, None)
        if result is None:
            return
        member = self.members[trial.trial_id]
        member.env_steps = result[TIME]
        member.scores.append(self._goal.score_of(result))
        member.diverged = "diverged/what" in result
        every = self._budget.perturb_every
        member.next_due = (member.env_steps // every + 1) * every
        if _finite(member.score) and not member.diverged:
            self.explorer.observe(
                trial.trial_id, member.env_steps, float(member.score or 0.0), trial.config
            )
        member.waits = trial.trial_id not in self._alone
        self._alone.discard(trial.trial_id)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Any) -> None:
        """Its budget is spent: it is neither donor nor clone any more."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """It failed; where it is tried again, it is added again."""
        self._reported.pop(trial.trial_id, None)
        self._alone.discard(trial.trial_id)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """It was ended while it waited."""

    def debug_string(self) -> str:
        """For Tune."""
        return type(self).__name__

    # Whose turn it is -------------------------------------------------------------------------

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The member that is furthest behind, once a slot is free: nobody starves."""
        live = self._live()
        if live and all(self.members[trial.trial_id].diverged for trial in live):
            for trial in live:  # nobody is left whom they could copy
                tune_controller.stop_trial(trial)
            return None
        if self._budget.synchronous:
            self._pass_barrier()
        return next((t for t in self._in_line(tune_controller) if self._may_start(t)), None)

    def _in_line(self, controller: Any) -> list[Trial]:
        """Those who may start now, the one furthest behind first."""
        busy = {t for t in self._trials.values() if t.status == Trial.RUNNING}
        busy |= controller._resetting_trials
        if not controller._actor_cache.num_cached_objects:
            # Without an idle process, one that is being started for a trial takes its slot.
            busy |= {t for t in self._trials.values() if t in controller._trial_to_actor}
        if len(busy) >= self._context.slots:
            return []
        waiting = [
            trial
            for trial in self._trials.values()
            if trial.status in (Trial.PENDING, Trial.PAUSED) and trial not in busy
        ]
        return sorted(waiting, key=lambda t: (self.members[t.trial_id].env_steps, t.trial_id))

    def _may_start(self, trial: Trial) -> bool:
        """Decides about a member. False for one that waits for the others, or, diverged, for
        somebody to copy.
        """
        member = self.members[trial.trial_id]
        if member.waits and not self._budget.synchronous:
            self._settle({trial: self._donor(trial)})
        return not member.waits

    def _pass_barrier(self) -> None:
        """Decides about all members at once, when each of them waits at the end of its interval."""
        live = self._live()
        if live and all(self.members[trial.trial_id].waits for trial in live):
            self._settle({trial: self._donor(trial) for trial in live})

    def _settle(self, donors: Mapping[Trial, Trial | None]) -> None:
        """What members go on from is decided: their own weights, or a donor's."""
        # A donor's configuration is what it ran at, also where it becomes a clone itself.
        configs = {trial.trial_id: trial.config for trial in self._trials.values()}
        decisions = [
            self._exploit(trial, donor, configs[donor.trial_id])
            for trial, donor in donors.items()
            if donor is not None
        ]
        for trial in donors:
            member = self.members[trial.trial_id]
            member.waits = member.diverged
        if decisions:
            self._context.decided(decisions)

    def _goes_on_alone(self, trial: Trial, result: Mapping[str, Any]) -> bool:
        """Whether a member may go on in its process: nobody waits, and it keeps its weights."""
        if self._budget.synchronous or "diverged/what" in result:
            return False
        if any(t.status in (Trial.PENDING, Trial.PAUSED) for t in self._live()):
            return False
        member = self.members[trial.trial_id]
        now = replace(member, scores=[*member.scores, self._goal.score_of(result)])
        return not self._is_low(trial.trial_id, now)

    # Whose weights ----------------------------------------------------------------------------

    def _live(self) -> list[Trial]:
        return [trial for trial in self._trials.values() if not trial.is_finished()]

    def _ranked(self) -> dict[str, MemberState]:
        """Every live member that has a return, and is old enough to be counted."""
        members = {trial.trial_id: self.members[trial.trial_id] for trial in self._live()}
        return {
            name: member
            for name, member in members.items()
            if member.diverged
            or (member.score is not None and member.env_steps >= self._budget.burn_in)
        }

    def _quantile(self, count: int) -> int:
        """Members of that many that are replaced, and as many that are copied."""
        return min(math.ceil(count * self._budget.quantile), count // 2)

    def _is_low(self, name: str, member: MemberState) -> bool:
        """Whether a member belongs to the worst quantile; among equals the later ones do."""
        others = {other: body for other, body in self._ranked().items() if other != name}
        low = self._quantile(len(others) + 1)
        leads = {other: body.lead(member) for other, body in others.items()}
        above = sum(lead > 0 or (lead == 0 and other < name) for other, lead in leads.items())
        return low > 0 and above > len(others) - low

    def _donor(self, trial: Trial) -> Trial | None:
        """One of the best at random; the next best where its checkpoint is damaged."""
        clone = self.members[trial.trial_id]
        ranked = self._ranked()
        if trial.trial_id not in ranked or not (
            clone.diverged or self._is_low(trial.trial_id, clone)
        ):
            return None
        order = sorted(ranked, key=lambda name: (_as_score(ranked[name].score), name), reverse=True)
        able = [name for name in order if self._gives(ranked[name], clone)]
        best = [name for name in order[: max(1, self._quantile(len(order)))] if name in able]
        shuffled = [best[i] for i in self.rng.permutation(len(best))]
        others = [name for name in able if name not in best]
        return next((self._trials[n] for n in shuffled + others if self._intact(n)), None)

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

    def _exploit(self, trial: Trial, donor: Trial, config: Mapping[str, Any]) -> Decision:
        """The member's next start is a changed copy of the donor, which ran at ``config``."""
        member, other = self.members[trial.trial_id], self.members[donor.trial_id]
        source, memory = (self._context.checkpoint_of(t.trial_id) for t in (donor, trial))
        changed = self.explorer.explore(
            trial.trial_id, member.env_steps, float(other.score or 0.0), config
        )
        exploit = {
            "donor": donor.trial_id,
            "env_steps": member.env_steps,
            "own_checkpoint": None if memory is None else str(memory),
        }
        trial.set_config({**config, **changed, "seed": trial.config["seed"], "exploit": exploit})
        start_from(trial, source)
        member.cloned_at = len(member.scores)
        member.diverged = False
        searched = {name: trial.config[name] for name in self._context.spec.space}
        return Decision(
            "exploit", str(trial), member.env_steps, str(donor), searched, other.env_steps
        )

    # A resume ---------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Members, explorer and random generator, as JSON holds them."""
        return {
            "members": {name: asdict(member) for name, member in self.members.items()},
            "explorer": self.explorer.get_state(),
            "rng": self.rng.bit_generator.state,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where :meth:`get_state` was called; trials are added afterwards."""
        self.members = {name: MemberState(**body) for name, body in state["members"].items()}
        self.explorer.set_state(state["explorer"])
        self.rng.bit_generator.state = state["rng"]


def start_from(trial: Trial, path: Path | None) -> None:
    """The trial's next start loads this checkpoint, and counts its iterations on."""
    metrics = {"training_iteration": trial.last_result.get("training_iteration", 0)}
    checkpoint = None if path is None else Checkpoint.from_directory(str(path))
    trial.run_metadata.checkpoint_manager._latest_checkpoint_result = (
        None if checkpoint is None else _TrainingResult(checkpoint=checkpoint, metrics=metrics)
    )


def _finite(score: float | None) -> bool:
    return score is not None and math.isfinite(score)


def _as_score(score: float | None) -> float:
    return float(score) if score is not None and not math.isnan(score) else -math.inf
