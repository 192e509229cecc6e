"""The task of any function: a plain Python function, or a class trainable of Tune's, reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rltune.errors import NothingUsable
from rltune.request.functions import OWN, check_found
from rltune.runs.folder import BEST, RunFolder
from rltune.runs.summary_record import BestPolicy, Summary
from rltune.schedulers import row
from rltune.tasks.base import Evaluated, Task, not_watched


class FunctionTask(Task):
    """Runs a function, or a class trainable, whose import path is the run's ``env_id``.

    A plain function is called as ``function(config)`` and calls :func:`rltune.report`, see
    :mod:`rltune.tasks.session`; of a class, see
    :class:`rltune.tasks.function_trial.MemberMixin`. The clock is called ``env_steps`` here as in
    every run folder: it is the number of reports, unless a report sets it.
    """

    outcome = "checkpoint"
    remedy = "Narrow the space, or look for what makes the metric so."

    @property
    def trainable(self) -> type:
        """A trainable that reports what the function does."""
        # With Ray: a resume is refused without waiting for it.
        from rltune.tasks.function_trial import trainable_of

        return trainable_of(self.spec.env_id)

    def config(self, pauses: Sequence[int], cpus: float) -> dict[str, Any]:
        """What the trainable needs to know beside the settings; a pause costs it nothing."""
        budget = self.spec.budget
        own = {
            "algo": self.spec.algo,
            "metrics": [goal.name for goal in self.spec.goals],
            # By the clock, of which a report may be any part. A population's scheduler saves.
            "saved_every": 0 if row(budget.scheduler).population else budget.perturb_every,
            "settings": list(self.spec.settings),
            "derived": dict(self.spec.derived),
            "bundles": self.bundles(cpus),
            "placement": self.spec.resources.placement.upper(),
            "log_all": self.spec.log_all,
        }
        return {OWN: own}

    def rehearse(self) -> None:
        """Checks that the function is there and can be called."""
        self.check_here("the request")

    def check_here(self, where: str) -> None:
        """Checks that the function can be imported, and called."""
        check_found(self.spec.env_id, where)

    def identity(self) -> dict[str, Any]:
        """The function, by its import path."""
        return {"function": self.spec.env_id, "metric": str(self.metric)}

    def metrics(self, result: Mapping[str, Any]) -> dict[str, float]:
        """The numbers that the function reported."""
        return dict(result["metrics"])

    def conclude(
        self,
        folder: RunFolder,
        summary: Summary,
        trials: Collection[str] | None = None,
        evaluated: Evaluated = not_watched,
    ) -> Summary:
        """The checkpoint with the best metric; it is not evaluated: what it reported counts."""
        kept = [] if trials is None else folder.checkpoints(trials)
        if kept:
            folder.keep_best(kept[0], trial=kept[0].parts[-3])
        record = folder.best_record
        if record is None or (self.spec.objective and not kept):
            raise NothingUsable(f"no trial left a checkpoint with a finite {self.metric.name}")
        if self.metric.of(record.means) is None:
            raise NothingUsable(
                f"no trial left a checkpoint with {self.metric.name}: report it with each "
                "checkpoint, and where a function keeps none, in its last report"
            )
        best = BestPolicy(
            trial=record.trial or "",
            config={**self.spec.settings, **(record.settings or {})},
            checkpoint=BEST,
            env_steps=record.env_steps,
            score=self.metric.of(record.means),
        )
        return replace(summary, best=best)
