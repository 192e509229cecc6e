"""Runs the trials of a sweep as batches, each in one process of Ray's."""

from __future__ import annotations

from functools import partial
from shutil import rmtree
from typing import Any

import ray
from ray import tune

from rltune.algorithms.member_group import MemberGroup
from rltune.catalog.batches import shape_of
from rltune.request import batches
from rltune.runs.folder import RunFolder
from rltune.runs.remote.copy import variables
from rltune.sweeps import room
from rltune.sweeps.jobs.base import Job
from rltune.sweeps.ray_adapter import driver
from rltune.sweeps.ray_adapter.batch_controller import BatchController
from rltune.sweeps.ray_adapter.scheduler import BatchScheduler
from rltune.sweeps.ray_adapter.seating import Seating
from rltune.sweeps.signals import Signals
from rltune.sweeps.stopping import SweepStopper
from rltune.sweeps.trial_events import TrialEvents
from rltune.sweeps.trial_source import TrialSource


def run_groups(
    job: Job,
    folder: RunFolder,
    source: TrialSource,
    scheduler: BatchScheduler,
    stopper: SweepStopper,
    events: TrialEvents,
    signals: Signals,
) -> int:
    """What Tune does with trials of a process each, for trials that train as batches.

    Returns:
        The number of processes.
    """
    spec, task = job.spec, job.task
    groups, seats = batches.size(spec, room.processes(task))
    experiment = tune.Experiment(
        "trials",
        run=task.trainable,
        config=task.config(job.pauses(), spec.resources.cpus_per_trial),
        storage_path=str(folder.path),
        checkpoint_config=tune.CheckpointConfig(
            checkpoint_frequency=task.checkpoint_frequency(), checkpoint_at_end=True
        ),
        max_failures=spec.resources.max_failures,
    )
    needs = task.needs()
    around = driver.added_variables() | (variables() if folder.remote is not None else {})
    process = ray.remote(MemberGroup).options(
        num_cpus=needs.get("CPU", 0),
        num_gpus=needs.get("GPU", 0),
        **({"memory": needs["memory"]} if "memory" in needs else {}),
        scheduling_strategy="SPREAD" if spec.resources.placement == "spread" else "DEFAULT",
        # Of a Ray that ran before the sweep, processes know nothing of its run.
        **({"runtime_env": {"env_vars": around}} if around else {}),
    )
    reports = folder.path / ".batches"
    start: Any = partial(process.remote, spec.algo, seats, str(reports))
    fitted = bool(batches.shaping(spec))
    seating = Seating(groups, seats, partial(shape_of, spec.algo), fitted)
    controller = BatchController(
        experiment, source, scheduler, stopper, [events], start, seating, reports
    )
    signals.take_over(controller.interrupt)
    controller.run()
    rmtree(reports, ignore_errors=True)
    return groups
