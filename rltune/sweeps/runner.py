"""A RunSpec -> ray.tune -> a run folder with its summary."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from rltune import algorithms, schedulers, searchers
from rltune.callbacks.base import Callback
from rltune.catalog.algorithms import algorithm
from rltune.envs import arguments
from rltune.errors import BadInput, Interrupted
from rltune.processes.watchdog import collect
from rltune.request.resume import check_resumable
from rltune.runs.folder import RunFolder, is_finished
from rltune.schedulers.base import SchedulerContext
from rltune.spec import RunSpec
from rltune.sweeps import ray_session
from rltune.sweeps.rehearsal import rehearse
from rltune.sweeps.run_writer import RunWriter
from rltune.sweeps.signals import Signals
from rltune.sweeps.stopping import SweepStopper
from rltune.sweeps.summary import finish, score_again
from rltune.sweeps.sweep_state import SweepState
from rltune.sweeps.trial_source import TrialSource

# isort: split
from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback

__all__ = ["resume", "run"]


def run(spec: RunSpec, observer: Callback | None = None) -> RunFolder:
    """Runs a sweep to its end and returns its folder.

    Raises:
        BadInput: before anything starts.
        Interrupted: by SIGINT or SIGTERM; the run can be resumed.
        NothingUsable: no trial left a policy.
        MachineError: the storage or Ray failed.
    """
    with _alone():
        rehearse(spec)
        folder = RunFolder.create(spec)
        try:
            return _sweep(spec, folder, observer or Callback())
        except BaseException:
            folder.discard_unstarted()  # the name is free again
            raise
        finally:
            folder.lock.release()


def resume(folder: RunFolder, observer: Callback | None = None, force: bool = False) -> RunFolder:
    """Goes on with a run that was stopped or killed, or whose scoring is not finished.

    A finished run is returned as it is.

    Args:
        force: go on although space, settings or environment are no longer what they were.

    Raises:
        BadInput: the run cannot be resumed, or another process works on it.
    """
    if is_finished(folder):
        return folder
    with _alone():
        folder.acquire()
        try:
            check_resumable(folder, force)
            return _go_on(folder, observer or Callback())
        finally:
            folder.lock.release()


def _go_on(folder: RunFolder, observer: Callback) -> RunFolder:
    if folder.summary is None:
        return _sweep(folder.spec, folder, observer)
    observer.started(folder.spec, folder)
    score_again(folder, observer)
    return folder


_running = threading.Lock()


@contextmanager
def _alone() -> Iterator[None]:
    """Refuses a second sweep in this process: both would set its variables and its one Ray."""
    if not _running.acquire(blocking=False):
        raise BadInput(
            "this process runs a sweep already, in another thread: run the second one after it, or "
            "in a process of its own"
        )
    try:
        yield
    finally:
        _running.release()


def _sweep(spec: RunSpec, folder: RunFolder, observer: Callback) -> RunFolder:
    observer.started(spec, folder)
    if spec.reading:
        observer.notice(spec.reading)
    statuses, reason, seconds = train(
        spec, folder, observer, getattr(algorithms, algorithm(spec.algo).class_name)
    )
    finish(spec, folder, observer, statuses, reason, seconds)
    return folder


def train(
    spec: RunSpec, folder: RunFolder, observer: Callback, trainable: type
) -> tuple[dict[str, str], str, float]:
    """Runs the trials of a sweep that are left to run.

    Args:
        trainable: a Tune trainable that reports what
            :class:`rltune.algorithms.rl_trainable.RLTrainable` does.

    Returns:
        The status of every trial by its id, why the sweep ended, and the seconds it took.
    """
    with Signals(observer, folder) as signals:
        return _train(spec, folder, observer, trainable, signals)


def _train(
    spec: RunSpec, folder: RunFolder, observer: Callback, trainable: type, signals: Signals
) -> tuple[dict[str, str], str, float]:
    before = _seconds_spent(folder)
    state = SweepState(spec, folder)
    population = schedulers.row(spec.budget.scheduler).population
    stopper = SweepStopper(
        spec.budget,
        spec.goal,
        rescues=population,
        seconds_before=before,
        first_wins=spec.job == "sweep",
    )
    recorder = RunWriter(spec, folder, observer, stopper, state, before)
    searcher = searchers.build(spec)
    seed_everything(spec.seed)
    with ray_session.ray_session(spec) as slots:
        context = SchedulerContext(
            spec, recorder.decided, slots, state.checkpoint_of, observer.notice
        )
        scheduler = recorder.scheduler = schedulers.build(context)
        state.parts = {
            "scheduler": scheduler,
            "searcher": searcher,
            "ending": stopper,
            "recorder": recorder,
        }
        state.go_on()
        trials = TrialSource(spec, searcher, state)
        state.write()
        signals.check()
        if not trials.is_finished():
            tune.run(
                trainable,
                name="trials",
                storage_path=str(folder.path),
                config=base_config(spec),
                search_alg=trials,
                scheduler=scheduler,
                num_samples=spec.budget.trials,
                stop=stopper,
                max_failures=spec.max_failures,
                callbacks=[recorder, TakeOver(signals), Quiet()],
                reuse_actors=True,
                raise_on_failed_trial=False,
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_frequency=checkpoint_frequency(spec), checkpoint_at_end=True
                ),
                verbose=0,
            )
            for file in folder.path.glob("trials/*.*"):
                file.unlink()  # Tune's own state: nothing reads it
            for trial in folder.trials():
                collect(folder.path / "trials" / trial)  # processes that were ended leave reports
    if signals.interrupted:
        raise Interrupted(f"go on with: rltune resume {folder.shown}")
    if stopper.fatal is not None:
        raise stopper.fatal
    return state.statuses, stopper.reason, recorder.wall_seconds


class TakeOver(tune.Callback):
    """Tune calls ``setup`` right after it has put its own signal handler in place."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def setup(self, **_: Any) -> None:
        """Takes the signal back."""
        self._signals.take_over()


class Quiet(TrialProgressCallback):
    """Takes the place of the one that Tune adds, which prints a line for each trial that ends."""

    def _print(self, msg: str) -> None:
        """Nothing: the observer shows what there is to see."""


def base_config(spec: RunSpec) -> dict[str, Any]:
    """The part of a trial's RLlib config that no searcher chooses."""
    return {
        "env": spec.env_id,
        "env_config": arguments.packed(spec.env_args),
        "num_cpus_for_main_process": cpus_per_trial(spec),
        "threads": max(1, int(spec.cpus_per_trial)),
        "num_gpus_per_learner": spec.gpus_per_trial,
        "memory_per_trial": spec.memory_per_trial,
        "env_timeout": spec.env_timeout,
        "ends_processes": True,
        "simulator": spec.simulator,
        "pauses": schedulers.pauses(spec),
        "min_sample_timesteps_per_iteration": spec.settings["min_sample_timesteps_per_iteration"],
    }


def cpus_per_trial(spec: RunSpec) -> float:
    """CPUs that Ray sets aside for a trial, its environment runners' not counted.

    ``--concurrent`` is kept by asking for a larger share each, so that no more of them fit.
    """
    if not spec.concurrent:
        return spec.cpus_per_trial
    runners = spec.cpus_of_a_trial - spec.cpus_per_trial
    return max(spec.cpus_per_trial, ray_session.cluster_cpus() / spec.concurrent - runners)


def checkpoint_frequency(spec: RunSpec) -> int:
    """Reports between two checkpoints, one an interval; 0 where the scheduler itself saves."""
    if schedulers.row(spec.budget.scheduler).population:
        return 0
    per_report: int = spec.settings["min_sample_timesteps_per_iteration"]
    return max(1, round(spec.budget.perturb_every / per_report))


def seed_everything(seed: int) -> None:
    """Seeds the driver's global generators: Tune's schedulers draw from them."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def _seconds_spent(folder: RunFolder) -> float:
    rows = [
        row for trial in folder.trials() for row in folder.reports(trial) + folder.discarded(trial)
    ]
    return max((row.wall_seconds for row in rows), default=0.0)
