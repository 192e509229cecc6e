"""What is done with the trials of a run: one class for each kind of job."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from rltune import schedulers
from rltune.callbacks.base import Callbacks
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary
from rltune.schedulers.base import Scheduler, SchedulerContext
from rltune.searchers.history import History
from rltune.searchers.seeds import Start
from rltune.spec import JobSpec, RunSpec
from rltune.tasks import task_of


class Job(ABC):
    """Owns where the trials of a run start from, what decides about them, and what they come to.

    Attributes:
        task: what the trials train.
        first_wins: whether the first trial at the target ends the run, or itself alone.
        keeps_every_policy: whether the policies of all checkpoints are kept: they are a curve.
        history: every trial so far; what starting points may depend on.
    """

    first_wins: ClassVar[bool]
    keeps_every_policy: ClassVar[bool]

    def __init__(self, spec: RunSpec, job: JobSpec) -> None:
        self.spec = spec
        self.asked = job
        self.task = task_of(spec)
        self.history = History(spec.former)

    @abstractmethod
    def next_start(self, index: int) -> Start | None:
        """The next trial; None where none is due now.

        Args:
            index: how many trials were started.
        """

    def is_over(self, index: int) -> bool:
        """Whether no trial is left to start, once those that run have ended."""
        return index >= self.spec.budget.trials

    @property
    def reached_target(self) -> bool:
        """Whether trials came to the target together; a trial that does alone is told otherwise."""
        return False

    def pauses(self) -> Sequence[int]:
        """Environment steps of a trial at whose first report, or later, it may be paused."""
        return schedulers.pauses(self.spec)

    def scheduler(self, context: SchedulerContext) -> Scheduler:
        """The scheduler of the trials."""
        return schedulers.build(context)

    @abstractmethod
    def conclude(self, folder: RunFolder, summary: Summary, callbacks: Callbacks) -> Summary:
        """The summary of the run with what the job's policies come to.

        Args:
            summary: what it says of every run; its trials are in the order of their numbers.

        Raises:
            NothingUsable: no trial left a policy that could be scored.
        """
