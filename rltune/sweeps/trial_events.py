"""What Tune says of its trials, as events for the callbacks of a sweep."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray.tune
from ray.tune.experiment import Trial

from rltune.callbacks.base import (
    Callbacks,
    CheckpointWritten,
    DecisionApplied,
    StatusChanged,
    TrialFailed,
    TrialReported,
)
from rltune.engine.metric_names import REWARD, SECONDS
from rltune.errors import MachineError
from rltune.processes.descendants import end_orphans
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision, Diverged, Report
from rltune.schedulers.base import TIME, Scheduler
from rltune.sweeps.failures import headline, read_failure
from rltune.sweeps.further_numbers import further_numbers
from rltune.sweeps.open_decisions import OpenDecisions
from rltune.sweeps.ray_adapter.trials import last_saved
from rltune.sweeps.stall import StallWatch
from rltune.sweeps.stopping import SweepStopper
from rltune.sweeps.sweep_state import SweepState
from rltune.sweeps.trial_table import TrialTable
from rltune.sweeps.watch import ProcessWatch
from rltune.tasks import Task


class Clock:
    """Seconds since a sweep began, its resumed parts added up."""

    def __init__(self, seconds_before: float = 0.0) -> None:
        self._started = time.monotonic() - seconds_before

    @property
    def seconds(self) -> float:
        """As of now."""
        return time.monotonic() - self._started


class TrialEvents(ray.tune.Callback):
    """A Tune callback that notifies ours, and saves the sweep's state whenever it has changed."""

    def __init__(
        self,
        task: Task,
        folder: RunFolder,
        callbacks: Callbacks,
        clock: Clock,
        stopper: SweepStopper,
        scheduler: Scheduler,
        trials: TrialTable,
        decisions: OpenDecisions,
        state: SweepState,
        watch: ProcessWatch,
    ) -> None:
        self._watch = watch
        self._task = task
        self._spec = task.spec
        self._folder = folder
        self._callbacks = callbacks
        self._clock = clock
        self._stopper = stopper
        self._scheduler = scheduler
        self._trials = trials
        self._decisions = decisions
        self._state = state
        self._stall = StallWatch(task, callbacks.notice)
        self._statuses: dict[str, str] = {}
        #: Metrics that are tuned and that no trial has reported yet.
        self._unreported = list(self._spec.goals)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Notifies of a report, and before it of the decision that it is the first one after."""
        self._check_metric(result)
        settings = {name: result["settings"].get(name) for name in self._spec.space}
        restored, diverged = result.get("restored") or {}, result.get("diverged")
        metrics = self._task.metrics(result)
        self._applied(self._decisions.reported(str(trial), settings, restored))
        report = Report(
            trial=str(trial),
            training_iteration=result["training_iteration"],
            env_steps=result[TIME],
            env_steps_this_iter=result["env_steps_this_iter"],
            wall_seconds=round(self._clock.seconds, 3),
            train_seconds=round(result["time_total_s"], 3),
            episode_reward_mean=metrics.pop(REWARD, None),
            settings=settings,
            diverged=None if diverged is None else Diverged.from_dict(diverged),
            metrics={**metrics, **self._task.learner(result)},
        )
        incidents = result.get("events", ())
        seconds = result["time_this_iter_s"]
        everything = further_numbers(result) if self._spec.log_all else {}
        self._callbacks.notify(TrialReported(report, incidents, seconds, everything))
        for incident in incidents:
            self._callbacks.notice(f"{report.trial}: {incident['kind']}: {incident['error']}")
        self._notify_status(trial)

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Counts what the scheduler heard of a trial from now on: its checkpoint is written."""
        saved = last_saved(trial)
        assert saved is not None
        # Not in ``on_checkpoint``, whose errors Tune keeps to itself.
        self._callbacks.notify(CheckpointWritten(str(trial), saved.path))
        self._trials.saved(trial)
        self._scheduler.saved(trial.trial_id)
        self._stopper.failures = 0  # a trial got a step further

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Notifies of a stop that took effect. The trial's last checkpoint is written by now."""
        others_run = any(t.status == Trial.RUNNING for t in self._trials.live if t is not trial)
        self._stopper.ended(trial.trial_id, others_run)
        self._applied(self._decisions.stopped(str(trial)))
        self._trials.changed = True
        self._notify_status(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Notifies of a failure for good."""
        failure = read_failure(self._spec, self._folder, trial, self._watch.ended, again=False)
        self._callbacks.notify(TrialFailed(str(trial), failure))
        self._stopper.failures += 1
        self._trials.changed = True
        end_orphans()
        self._applied(self._decisions.failed(str(trial), failure.error))
        self._notify_status(trial)

    def on_trial_recover(
        self, iteration: int, trials: list[Any], trial: Any, told: bool = False, **_: Any
    ) -> None:
        """Notifies of a failure after which the trial continues from its last checkpoint.

        Args:
            told: whether a person has been told of it, with those of other trials.
        """
        failure = read_failure(self._spec, self._folder, trial, self._watch.ended, again=True)
        self._trials.step_back(trial)
        continues_from = self._trials.env_steps(trial.trial_id)
        self._callbacks.notify(TrialFailed(str(trial), failure, continues_from))
        self._trials.changed = True
        end_orphans()  # a simulator that outlives a crash would hold its port
        if not told:
            self._callbacks.notice(f"{trial} failed and is tried again: {failure.error}")
        self._notify_status(trial)

    def on_smaller_batches(self, sizes: tuple[int, int], error: Exception, **_: Any) -> None:
        """Notifies of a batch that was too large for the memory.

        Args:
            sizes: trials in it, and in each batch from here on.
            error: of the batch.
        """
        large, small = sizes
        self._callbacks.notice(
            f"too little memory for a batch of {large} trials, batches of {small} from here on: "
            f"{headline(str(error))}"
        )

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Saves what was decided: it takes effect in this step."""
        self._state.write_if_changed()

    def on_step_end(self, iteration: int, trials: list[Any], waits: bool = False, **_: Any) -> None:
        """Notifies of trials that have started, and saves whatever has changed.

        Args:
            waits: whether those that run wait for their processes to start.
        """
        live = self._trials.live  # all of them may be thousands
        for trial in live:
            self._notify_status(trial)
        self._state.write_if_changed()
        self._trials.forget_ended()
        self._folder.sync()
        while not self._watch.notices.empty():
            self._callbacks.notice(self._watch.notices.get())
        try:
            self._stall.look([] if waits else live)
        except MachineError as error:
            self._stopper.fatal = error

    def _applied(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self._callbacks.notify(DecisionApplied(decision))

    def _check_metric(self, result: Mapping[str, Any]) -> None:
        """Ends the sweep where a metric is not reported once an episode has ended.

        Of a metric that has been reported an episode may lack its number. What a trial has spent
        is in each report, and tells behind another metric alone how good settings are.
        """
        if not self._unreported:
            return
        metrics = self._task.metrics(result)
        spent = {name: result[name] for name in (SECONDS, TIME) if name in result}
        reported = [metrics, *[spent | metrics] * (len(self._spec.goals) - 1)]
        self._unreported = [
            goal
            for goal, numbers in zip(self._spec.goals, reported, strict=True)
            if goal in self._unreported and goal.of(numbers) is None
        ]
        waits = self._task.may_come_later(result)
        if self._unreported and not waits and not result.get("diverged"):
            self._stopper.fatal = self._unreported[0].not_reported(metrics)

    def _notify_status(self, trial: Trial) -> None:
        name = trial.trial_id
        if self._statuses.get(name) != trial.status:
            self._statuses[name] = trial.status
            self._callbacks.notify(StatusChanged(name, trial.status))
