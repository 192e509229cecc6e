"""The contract of a task: what the trials of a run train, and what the run knows about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from rltune.metric import Metric
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import dumps, loads
from rltune.runs.summary_record import Summary
from rltune.space import Space
from rltune.spec import RunSpec

#: Called with "choosing" or "scoring", the episodes that have been played for it, and of how many.
Evaluated = Callable[[str, int, int], None]


def not_watched(phase: str, done: int, of: int) -> None:
    """Ignores the progress of an evaluation."""


class Task(ABC):
    """What is tuned: the one place that knows what a trial does between two reports.

    A sweep starts trials at the settings of a searcher, a scheduler decides about them by their
    reports, and callbacks write them down. All of them see numbers, settings and checkpoints, and
    ask the task for the rest. A new task is a module of this package with a subclass, and a row of
    :data:`rltune.tasks.TASKS`.

    A trial is an instance of :attr:`trainable`, a ``ray.tune.Trainable`` with these properties:

    - Its config is that of :meth:`config`, with the trial's settings and its ``seed`` beside it.
      After an exploit it also has ``exploit``, ``{"donor", "env_steps", "own_checkpoint"}``: the
      trial continues from the donor's checkpoint, at ``env_steps`` on its own clock.
    - ``step`` returns one report: ``env_steps``, the trial's clock, which never stands still;
      ``env_steps_this_iter``, what the report adds to the sweep's cost; ``settings``, read back
      from where they act; the metrics, those that are not known yet left out. Where there are any:
      ``diverged``, ``{"env_steps", "what", "value"}``, once a number is no longer finite;
      ``restored``, in the first report after a restore, and ``events``, short of a failure.
    - ``save_checkpoint`` writes a :class:`rltune.runs.records.CheckpointRecord` and seals the
      folder, see :mod:`rltune.runs.checkpoints`; ``load_checkpoint`` verifies it.
    - ``reset_config`` makes it another trial: processes are kept.

    Attributes:
        spec: the request.
        metric: what is tuned, selected and scored by; with its direction.
        evaluates: whether :meth:`conclude` plays episodes, which takes time.
        outcome: what a trial leaves behind, in a word.
        remedy: what helps where every trial diverges, in a sentence.
    """

    evaluates: ClassVar[bool] = False
    outcome: ClassVar[str] = "policy"
    remedy: ClassVar[str] = (
        "Lower the learning rates, clip gradients (grad_clip), or look at the environment's "
        "rewards."
    )

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.metric: Metric = spec.goal

    @property
    def steps_per_report(self) -> int:
        """Steps between two reports of a trial, at least, as far as known at the start."""
        return 1

    @property
    @abstractmethod
    def trainable(self) -> type:
        """The class of a trial, see above."""

    @abstractmethod
    def config(self, pauses: Sequence[int], cpus: float) -> dict[str, Any]:
        """The part of a trial's config that no searcher chooses.

        Args:
            pauses: values of the clock at whose first report, or later, a trial may be paused.
            cpus: CPUs that Ray sets aside for the trial's own process.
        """

    @property
    def cpus(self) -> float:
        """CPUs of one trial, those of processes that it starts included."""
        return self.spec.resources.cpus_per_trial

    def needs(self) -> dict[str, float]:
        """What Ray sets aside for one trial, by Ray's name of the resource."""
        asked = self.spec.resources
        wanted = {
            "CPU": self.cpus,
            "GPU": asked.gpus_per_trial,
            "memory": float(asked.memory_per_trial),
        }
        return {resource: amount for resource, amount in wanted.items() if amount}

    def bundles(self, cpus: float) -> list[dict[str, float]]:
        """What Ray sets aside for the processes of one trial, its own first.

        Args:
            cpus: CPUs of its own process.
        """
        return [{**self.needs(), "CPU": cpus}]

    def mutable(self) -> Space:
        """The part of the space that a population may change while a trial trains."""
        return self.spec.space

    def checkpoint_frequency(self) -> int:
        """Reports between two checkpoints; 0 where the scheduler or the trial says when.

        A trial is saved once an interval of its clock, so that no failure costs it more.
        """
        return 0

    @property
    def notice(self) -> str:
        """What a person should know at the start, in words; empty for nothing."""
        return "; ".join(filter(None, [self.spec.reading, self.spec.stepping]))

    def rehearse(self) -> None:  # noqa: B027
        """Tries what a trial will do, before anything starts.

        Raises:
            BadInput: it does not work; with its own exception and place.
        """

    @abstractmethod
    def check_here(self, where: str) -> None:
        """Checks that what a run of this task needs is on this machine.

        Args:
            where: the run folder, for messages.

        Raises:
            BadInput: something is missing.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What is trained, as JSON holds it: it must not change between two parts of a run."""

    def fingerprint(self) -> dict[str, Any]:
        """What must not change between two parts of a run, flat and as JSON holds it."""
        spec = self.spec
        values = {
            **self.identity(),
            "budget.scheduler": spec.budget.scheduler,
            "constraints": [constraint.text for constraint in spec.space.constraints],
        }
        values |= {f"space.{name}": body for name, body in spec.space.to_dict().items()}
        fixed = {name: value for name, value in spec.settings.items() if name not in spec.space}
        values |= {f"settings.{name}": value for name, value in fixed.items()}
        if spec.objective:
            values["objective"] = list(spec.objective)
        values |= {f"derived.{name}": place for name, place in spec.derived.items()}
        plain: dict[str, Any] = loads(dumps(values))
        return plain

    @abstractmethod
    def metrics(self, result: Mapping[str, Any]) -> dict[str, float]:
        """The metrics in a trial's report, by name."""

    def learner(self, result: Mapping[str, Any]) -> dict[str, float]:
        """What a trial's report holds of its learner, by name: to be looked at, not tuned for."""
        return {}

    def may_come_later(self, result: Mapping[str, Any]) -> bool:
        """Whether a metric that a report lacks may be in a later one."""
        return False

    @abstractmethod
    def conclude(
        self,
        folder: RunFolder,
        summary: Summary,
        trials: Collection[str] | None = None,
        evaluated: Evaluated = not_watched,
    ) -> Summary:
        """Chooses the best that a sweep has found, keeps it in ``best/`` and scores it.

        Args:
            trials: those that it may come from; None for any.
            evaluated: notified of the episodes that are played for it.

        Returns:
            The summary with what there is to say of it, ``best`` first of all.

        Raises:
            NothingUsable: no trial left anything.
        """
