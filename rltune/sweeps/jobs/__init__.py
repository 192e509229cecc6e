"""What is done with the trials of a run. One file for each kind of job, one table."""

from __future__ import annotations

from rltune.runs.folder import RunFolder
from rltune.spec import JobSpec, RunSpec
from rltune.sweeps.jobs.base import Job
from rltune.sweeps.jobs.landscape import Landscape
from rltune.sweeps.jobs.multi_seed import MultiSeed
from rltune.sweeps.jobs.schedule_replay import ScheduleReplay
from rltune.sweeps.jobs.sweep import Sweep

#: By the name in run.json.
JOBS: dict[str, type[Job]] = {
    "sweep": Sweep,
    "train": MultiSeed,
    "replay": ScheduleReplay,
    "landscape": Landscape,
}


def job_of(spec: RunSpec, asked: JobSpec) -> Job:
    """The job that a request asks for."""
    return JOBS[asked.job](spec, asked)


def job_in(folder: RunFolder) -> Job:
    """The job of a run folder."""
    return job_of(folder.spec, folder.job)
