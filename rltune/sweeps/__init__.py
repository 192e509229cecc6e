"""A RunSpec -> ray.tune -> a run folder with its summary."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch

from rltune import algorithms, schedulers, searchers
from rltune.errors import BadInput, Interrupted
from rltune.observer import Observer
from rltune.request import check_resumable
from rltune.runs import RunFolder
from rltune.schedulers import Plan
from rltune.settings import algorithm
from rltune.spec import RunSpec
from rltune.sweeps import session
from rltune.sweeps.ending import Ending
from rltune.sweeps.finish import finish
from rltune.sweeps.recorder import Recorder
from rltune.sweeps.signals import Signals

# isort: split
from ray import tune

__all__ = ["resume", "run"]

#: Checkpoints a trial keeps. With fewer a donor's could go before its clone has read it.
CHECKPOINTS_KEPT = 4


def run(spec: RunSpec, observer: Observer | None = None) -> RunFolder:
    """Runs a sweep to its end and returns its folder.

    Raises:
        BadInput: before anything starts.
        Interrupted: by SIGINT or SIGTERM; the run can be resumed.
        NothingUsable: no trial left a policy.
        MachineError: the storage or Ray failed.
    """
    observer = observer or Observer()
    folder = RunFolder.create(spec)
    try:
        return _train(spec, folder, observer)
    except BadInput:
        folder.discard()  # nothing ran: the name is free again
        raise
    finally:
        folder.lock.release()


def resume(folder: RunFolder, observer: Observer | None = None) -> RunFolder:
    """Goes on with a run that was stopped or killed. A finished run is returned as it is.

    Raises:
        BadInput: the run cannot be resumed, or another process works on it.
    """
    if folder.summary is not None:
        return folder
    check_resumable(folder)
    folder.acquire()
    try:
        return _train(folder.spec, folder, observer or Observer())
    finally:
        folder.lock.release()


def _train(spec: RunSpec, folder: RunFolder, observer: Observer) -> RunFolder:
    observer.started(spec, folder)
    before = _seconds_spent(folder)
    ending = Ending(spec.budget, before)
    recorder = Recorder(spec, folder, observer, ending, before)
    seed_everything(spec.seed)
    with Signals(observer) as signals, session.ray_session(spec) as slots:
        # Processes for every slot start at once; Tune would start one after the other.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
        scheduler = schedulers.build(Plan(spec, recorder.decided, slots))
        recorder.scheduler = scheduler
        analysis = tune.run(
            getattr(algorithms, algorithm(spec.algo).class_name),
            name="trials",
            storage_path=str(folder.path),
            config=base_config(spec),
            search_alg=searchers.build(spec),
            scheduler=scheduler,
            num_samples=spec.budget.trials,
            stop=ending,
            callbacks=[recorder, TakeOver(signals)],
            reuse_actors=True,
            raise_on_failed_trial=False,
            resume=any(folder.path.glob("trials/experiment_state-*.json")),
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=CHECKPOINTS_KEPT,
                checkpoint_frequency=checkpoint_frequency(spec),
                checkpoint_at_end=True,
            ),
            verbose=0,
        )
        statuses = {str(trial): trial.status for trial in analysis.trials}
    if signals.interrupted:
        raise _interrupted(spec, folder)
    finish(spec, folder, observer, statuses, ending.reason, recorder.wall_seconds)
    return folder


def _interrupted(spec: RunSpec, folder: RunFolder) -> Interrupted:
    if schedulers.row(spec.budget.scheduler).resumable:
        return Interrupted(f"go on with: rltune resume {folder.shown}")
    return Interrupted(
        f"{folder.shown} holds what there is; a {spec.budget.scheduler} sweep cannot be resumed "
        f"yet. Its best policy so far: rltune evaluate {folder.shown}"
    )


class TakeOver(tune.Callback):
    """Tune calls ``setup`` right after it has put its own signal handler in place."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def setup(self, **_: Any) -> None:
        """Takes the signal back."""
        self._signals.take_over()


def base_config(spec: RunSpec) -> dict[str, Any]:
    """The part of a trial's RLlib config that no searcher chooses."""
    return {
        "env": spec.env_id,
        "env_config": dict(spec.env_args),
        "num_cpus_for_main_process": cpus_per_trial(spec),
        "num_gpus_per_learner": spec.gpus_per_trial,
        "min_sample_timesteps_per_iteration": spec.settings["min_sample_timesteps_per_iteration"],
    }


def cpus_per_trial(spec: RunSpec) -> float:
    """CPUs that Ray sets aside for a trial, its environment runners' not counted.

    ``--concurrent`` is kept by asking for a larger share each, so that no more of them fit.
    """
    if not spec.concurrent:
        return spec.cpus_per_trial
    runners = spec.cpus_of_a_trial - spec.cpus_per_trial
    return max(spec.cpus_per_trial, session.cluster_cpus() / spec.concurrent - runners)


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
    last = [rows[-1].wall_seconds for trial in folder.trials() if (rows := folder.rows(trial))]
    return max(last, default=0.0)
