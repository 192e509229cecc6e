"""Writes a sweep into its run folder as Tune reports it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.tune
from ray.tune.experiment import Trial

from rltune.callbacks.base import Callback
from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.engine.episodes import REWARD, reported
from rltune.errors import MachineError
from rltune.processes.descendants import end_orphans
from rltune.runs.folder import RunFolder, rank
from rltune.runs.records import Report
from rltune.schedulers.base import TIME, Decision
from rltune.spec import RunSpec
from rltune.sweeps.failures import Failures
from rltune.sweeps.stall import StallWatch
from rltune.sweeps.stopping import SweepStopper
from rltune.sweeps.sweep_state import SweepState


class RunWriter(ray.tune.Callback):
    """A Tune callback: progress, decisions, curves, the best checkpoint so far, and the state.

    Args:
        seconds_before: what earlier parts of a resumed run took.
    """

    def __init__(
        self,
        spec: RunSpec,
        folder: RunFolder,
        observer: Callback,
        stopper: SweepStopper,
        state: SweepState,
        seconds_before: float = 0.0,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._observer = observer
        self._stopper = stopper
        self._state = state
        self._started = time.monotonic() - seconds_before
        self._curves = TensorBoardWriter(spec, folder)
        self._failures = Failures(spec, folder, stopper, state, self._curves)
        self._idle = StallWatch(spec, observer)
        #: Decisions that have not taken effect yet, by trial.
        self._open: dict[str, Decision] = {}
        self._written = {_key(line) for line in folder.decisions()}
        self._status: dict[str, str] = {}
        self._best = rank(folder.best_record, spec.goal)
        #: Whether a trial has reported the metric that is tuned.
        self._has_metric = False
        self.scheduler: Any = None

    @property
    def wall_seconds(self) -> float:
        """Since the sweep began, resumed parts added up."""
        return time.monotonic() - self._started

    def decided(self, decisions: Sequence[Decision]) -> None:
        """Hears of decisions; exploits are saved before they take effect, and told afterwards."""
        self._open |= {decision.trial: decision for decision in decisions}
        if any(decision.kind == "exploit" for decision in decisions):
            self._state.write()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """A report: a row, a point on each curve, and the end of an open decision."""
        self._check_metric(result)
        settings = {name: result["settings"].get(name) for name in self._spec.space}
        self._close_exploit(trial, settings, result.get("restored") or {})
        row = Report(
            trial=str(trial),
            training_iteration=result["training_iteration"],
            env_steps=result[TIME],
            env_steps_this_iter=result["env_steps_this_iter"],
            wall_seconds=round(self.wall_seconds, 3),
            train_seconds=round(result["time_total_s"], 3),
            episode_reward_mean=result.get(REWARD),
            settings=settings,
            diverged=result.get("diverged"),
            metrics=reported(result),
        )
        self._folder.append_report(row)
        self._curves.draw(row)
        for event in result.get("events", ()):
            self._folder.append_event(row.trial, event)
            self._observer.notice(f"{row.trial}: {event['kind']}: {event['error']}")
        self._observer.reported(row)
        self._tell_statuses(trials)

    def on_checkpoint(
        self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **_: Any
    ) -> None:
        """Keeps the best checkpoint so far, so that a killed sweep has it too."""
        path = Path(checkpoint.path)
        place = rank(self._folder.record(path), self._spec.goal)
        if place > self._best:
            self._best = place
            self._folder.keep_best(path, str(trial))

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """What the scheduler heard of a trial counts from now on: its checkpoint is written."""
        self._state.saved(trial)
        self.scheduler.saved(trial)
        self._failures.achieved()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Its last checkpoint is written by now."""
        others_run = any(t.status == Trial.RUNNING for t in trials if t is not trial)
        self._stopper.ended(trial.trial_id, others_run)
        stop = self._open.get(str(trial))
        if stop is not None and stop.kind == "stop":
            self._write_decision(self._open.pop(str(trial)), {}, {})
        self._state.changed = True
        self._tell_statuses(trials)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """It failed for good; an exploit that it failed in never took effect."""
        self._failures.ended(trial)
        end_orphans()
        waiting = self._open.pop(str(trial), None)
        if waiting is not None and waiting.kind == "exploit":
            error = self._folder.failures(str(trial))[-1]["error"]
            self._write_decision(waiting, {}, {}, error)
        self._tell_statuses(trials)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """It failed, and is tried again from its last checkpoint."""
        self._failures.tried_again(trial)
        end_orphans()  # a simulator that outlives a crash would hold its port
        error = self._folder.failures(str(trial))[-1]["error"]
        self._observer.notice(f"{trial} failed and is tried again: {error}")
        self._tell_statuses(trials)

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Between two events of Tune's: whatever has changed is saved."""
        if self._state.changed:
            self._state.write()
        try:
            self._idle.look(trials)
        except MachineError as error:
            self._stopper.fatal = error

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        """Closes the event files."""
        self._curves.close()

    def get_state(self) -> dict[str, Any]:
        """Exploits that wait for their effect, as JSON holds them; a stop is decided again."""
        exploits = [decision for decision in self._open.values() if decision.kind == "exploit"]
        return {"open": [asdict(decision) for decision in exploits]}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where :meth:`get_state` was called."""
        self._open = {body["trial"]: Decision(**body) for body in state["open"]}

    def _check_metric(self, result: Mapping[str, Any]) -> None:
        """Ends the sweep where the metric is not reported once an episode has ended.

        Of a metric that has been reported an episode may lack its number.
        """
        goal = self._spec.goal
        self._has_metric |= goal.of(result) is not None
        waits = "env_runners" in result and REWARD not in result
        if self._has_metric or waits or result.get("diverged"):
            return
        names = [REWARD, *reported(result)]
        if "env_runners" not in result:  # no algorithm of RLlib
            names = [name for name, value in result.items() if isinstance(value, int | float)]
        self._stopper.fatal = goal.not_reported(names)

    def _tell_statuses(self, trials: list[Any]) -> None:
        for trial in trials:
            name = str(trial)
            if self._status.get(name) != trial.status:
                self._status[name] = trial.status
                self._observer.status(name, trial.status)

    def _close_exploit(
        self, trial: Any, effective: Mapping[str, Any], restored: Mapping[str, Any]
    ) -> None:
        """Writes what this report is the first one after: an exploit, a change, or a restore."""
        memory = restored.get("memory") or {}
        waiting = self._open.get(str(trial))
        if waiting is not None and waiting.kind != "stop":
            self._write_decision(self._open.pop(str(trial)), effective, memory)
        elif restored:
            asked = {name: restored["requested"].get(name) for name in self._spec.space}
            read_back = {name: restored["effective"].get(name) for name in self._spec.space}
            restore = Decision("restore", str(trial), restored["env_steps"], None, asked)
            self._write_decision(restore, read_back, memory)

    def _write_decision(
        self,
        decision: Decision,
        effective: Mapping[str, Any],
        memory: Mapping[str, Any],
        error: str = "",
    ) -> None:
        line = {
            "kind": decision.kind,
            "env_steps": decision.env_steps,
            "trial": decision.trial,
            "donor": decision.donor,
            **({"donor_env_steps": decision.donor_env_steps} if decision.donor else {}),
            "requested": decision.requested,
            "effective": effective,
            **({"memory": memory} if memory else {}),
            **({"error": error} if error else {}),
        }
        if decision.kind != "restore" and _key(line) in self._written:
            return  # written before a kill; the state was not yet
        self._written.add(_key(line))
        self._folder.append_decision(line)
        self._observer.decided(line)


def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(line.get(name) for name in ("kind", "trial", "env_steps", "donor"))
