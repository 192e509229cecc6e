"""Drives a scheduler of ours from Tune's controller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from rltune.runs.records import Decision
from rltune.schedulers.base import TIME, Action, Change, Scheduler
from rltune.step_budget import StepBudget
from rltune.sweeps.ray_adapter.trials import start_from

ANSWERS = {
    Action.CONTINUE: TrialScheduler.CONTINUE,
    Action.SAVE: TrialScheduler.CONTINUE,
    Action.PAUSE: TrialScheduler.PAUSE,
    Action.STOP: TrialScheduler.STOP,
}
WAITS = (Trial.PENDING, Trial.PAUSED)
ENDED = (Trial.TERMINATED, Trial.ERROR)


class TuneScheduler(TrialScheduler):
    """Speaks of trials, processes and checkpoints to Tune, and of names and reports to a scheduler.

    Args:
        scheduler: what decides.
        slots: gives the number of trials that run at a time; it may grow.
        decided: called with decisions that are made together, before they take effect.
        step_budget: of the steps that trials may spend together.

    Attributes:
        slots: see above.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        slots: Callable[[], int],
        decided: Callable[[Sequence[Decision]], None],
        step_budget: StepBudget,
    ) -> None:
        super().__init__()
        self._step_budget = step_budget
        self._scheduler = scheduler
        self.slots = slots
        #: Idle processes that Tune has been told to keep.
        self._kept = 0
        self._decided = decided
        #: Trials that have not ended, and some that have. All of them may be thousands.
        self._live: dict[str, Trial] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial is new, resumed, or tried again after a failure."""
        self._keep_processes(tune_controller, trial)
        self._live.pop(trial.trial_id, None)  # one that is tried again is the last in line
        self._live[trial.trial_id] = trial
        self._scheduler.added(trial.trial_id, trial.config)

    def _keep_processes(self, tune_controller: Any, trial: Trial) -> None:
        """Makes room for one idle process a slot: all trials ask for the same resources.

        Tune keeps one idle process, and more only for trials already waiting in line: two trials
        that pause together lose one of them, and starting another takes seconds
        (TuneController._maybe_cache_trial_actor). This can go once ``reuse_actors=True`` alone
        keeps them.
        """
        for _slot in range(self._kept, self.slots()):
            tune_controller._actor_cache.increase_max(trial.placement_group_factory)
            self._kept += 1

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """The scheduler's answer to a report."""
        others_wait = any(other.status in WAITS for other in self._live.values())
        action = self._scheduler.reported(trial.trial_id, result, others_wait)
        if action is Action.STOP:
            self._decided([_stop(trial.trial_id, result)])
        elif action is Action.SAVE:
            self._save(tune_controller, trial, result)
        answer: str = ANSWERS[action]
        return answer

    def _save(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        tune_controller._schedule_trial_save(trial, result)

    def on_trial_complete(
        self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]
    ) -> None:
        """A trial has ended by itself, or because it was stopped."""
        self._scheduler.ended(trial.trial_id, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """A trial failed; where it is tried again, Tune adds it again."""
        self._scheduler.ended(trial.trial_id, None)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """A trial was ended while it waited."""
        self._scheduler.ended(trial.trial_id, None)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial whose turn it is; changes and stops take effect before it starts."""
        self._live = {name: t for name, t in self._live.items() if t.status not in ENDED}
        waiting = self._waiting(tune_controller)
        if not self._step_budget.has_room():
            # Trials that are handed out together wait with their steps set aside.
            waiting = [name for name in waiting if self._step_budget.is_set_aside(name)]
            if not waiting:
                return None
        turn = self._scheduler.choose(waiting)
        for change in turn.changes:
            self._apply(change)
        if turn.changes:
            self._decided([change.decision for change in turn.changes])
        if turn.stops:
            self._decided([_stop(name, self._live[name].last_result) for name in turn.stops])
        for name in turn.stops:
            tune_controller.stop_trial(self._live[name])
        if turn.start is None:
            return None
        self._step_budget.started(turn.start)
        return self._live[turn.start]

    def _apply(self, change: Change) -> None:
        trial = self._live[change.decision.trial]
        trial.set_config(dict(change.settings))
        if change.checkpoint is not None:
            start_from(trial, change.checkpoint)

    def _waiting(self, controller: Any) -> list[str]:
        """Trials that could start now; none while every slot is taken."""
        if self._live:
            self._keep_processes(controller, next(iter(self._live.values())))
        busy = {trial for trial in self._live.values() if trial.status == Trial.RUNNING}
        busy |= controller._resetting_trials
        if not controller._actor_cache.num_cached_objects:
            # Without an idle process, one that is being started for a trial takes its slot.
            busy |= set(controller._trial_to_actor)
        if len(busy) >= self.slots():
            return []
        return [n for n, trial in self._live.items() if trial.status in WAITS and trial not in busy]

    def debug_string(self) -> str:
        """For Tune's console, which is off."""
        return type(self._scheduler).__name__


class BatchScheduler(TuneScheduler):
    """Drives a scheduler of ours from a batched sweep's controller."""

    def _keep_processes(self, tune_controller: Any, trial: Trial) -> None:
        """Groups keep theirs."""

    def _save(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        tune_controller.save_after(trial)

    def _waiting(self, controller: Any) -> list[str]:
        running = sum(trial.status == Trial.RUNNING for trial in self._live.values())
        if running >= self.slots():
            return []
        return [trial.trial_id for trial in controller.waiting()]


def _stop(trial: str, report: Mapping[str, Any]) -> Decision:
    return Decision(kind="stop", env_steps=report.get(TIME, 0), trial=trial)
