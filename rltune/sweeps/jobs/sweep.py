"""A sweep: trials that a searcher starts and a scheduler decides about; the best policy counts."""

from __future__ import annotations

from typing import Any

from rltune import searchers
from rltune.callbacks.base import Callbacks
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary
from rltune.spec import JobSpec, RunSpec
from rltune.sweeps.jobs.base import Job


class Sweep(Job):
    """Tunes settings."""

    first_wins = True
    keeps_every_policy = False

    def __init__(self, spec: RunSpec, job: JobSpec) -> None:
        super().__init__(spec, job)
        self.searcher = searchers.build(spec)

    def starting_point(self, index: int) -> dict[str, Any]:
        """A given point while there is one, then the searcher's suggestions."""
        return searchers.starting_point(self.spec, self.searcher, index, self.history)

    def conclude(self, folder: RunFolder, summary: Summary, callbacks: Callbacks) -> Summary:
        """The best that was found, as the task has it."""
        return self.task.conclude(folder, summary)
