"""Runs the trials of a sweep with Tune, each in a process of its own."""

from __future__ import annotations

from typing import Any

from ray import tune

from rltune.runs.folder import RunFolder
from rltune.sweeps import room
from rltune.sweeps.jobs.base import Job
from rltune.sweeps.ray_adapter import controller
from rltune.sweeps.ray_adapter.console import Quiet
from rltune.sweeps.ray_adapter.scheduler import TuneScheduler
from rltune.sweeps.signals import Signals
from rltune.sweeps.stopping import SweepStopper
from rltune.sweeps.trial_events import TrialEvents
from rltune.sweeps.trial_source import TrialSource


def run_singles(
    job: Job,
    folder: RunFolder,
    source: TrialSource,
    scheduler: TuneScheduler,
    stopper: SweepStopper,
    events: TrialEvents,
    signals: Signals,
) -> None:
    """Runs Tune to the end of the sweep."""
    spec, task = job.spec, job.task
    with controller.in_use():
        tune.run(
            task.trainable,
            name="trials",
            storage_path=str(folder.path),
            config=task.config(job.pauses(), room.cpus_of_a_process(task)),
            search_alg=source,
            scheduler=scheduler,
            num_samples=spec.budget.most_trials,
            stop=stopper,
            max_failures=spec.resources.max_failures,
            callbacks=[events, TakeOver(signals), Quiet()],
            reuse_actors=True,
            raise_on_failed_trial=False,
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=task.checkpoint_frequency(), checkpoint_at_end=True
            ),
            verbose=0,
            # Silent; that of a notebook shows an empty output.
            progress_reporter=tune.CLIReporter(),
        )


class TakeOver(tune.Callback):
    """Tune calls ``setup`` right after it has put its own signal handler in place."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def setup(self, **_: Any) -> None:
        """Takes the signal back."""
        self._signals.take_over()
