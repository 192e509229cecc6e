"""What rltune keeps of a trial that runs a user's code, and makes of that code's reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

from ray.tune.result import SHOULD_CHECKPOINT

from rltune.engine.divergence import Divergence
from rltune.request import metrics as measured
from rltune.request.metrics import RESERVED, TOLD
from rltune.runs.records import Diverged, Exploit
from rltune.schedulers.base import TIME


@dataclass
class Member:
    """What rltune keeps of a trial beside the user's own trainable.

    Attributes:
        algo: of the run, by which checkpoints are sealed.
        tuned: the names of what is tuned.
        settings: those that the trial runs at.
        exploit: the last one of the trial; None where it had none.
        saved_every: what the clock advances between two checkpoints, unless the user's code says
            when to write one; 0 where the scheduler alone does.
        log_all: whether a report also holds what RLlib reports beside its metrics.
        clock: of the trial, which an exploit does not change.
        counted: what the user's code counts: it comes with a donor's checkpoint.
        metrics: of the last report.
        diverged: set once the metric is not finite.
    """

    algo: str
    tuned: Sequence[str]
    settings: Mapping[str, Any]
    exploit: Exploit | None
    saved_every: int = 0
    log_all: bool = False
    clock: int = 0
    counted: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    diverged: Diverged | None = None

    def reported(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """A report as a sweep reads it, from what the user's code reports.

        Raises:
            ValueError: a name is rltune's own, or the clock does not advance.
        """
        if taken := sorted(RESERVED & result.keys()):
            raise ValueError(f"{', '.join(taken)}: rltune reports that itself; use another name")
        advanced = self._advance(result.get(TIME, self.counted + 1))
        numbers = measured.numbers(
            {name: value for name, value in result.items() if name not in {TIME, *TOLD}}
        )
        self.metrics = {name: value for name, value in numbers.items() if math.isfinite(value)}
        tuned = {name: numbers.get(name, 0.0) for name in self.tuned}
        wrong = [item for item in tuned.items() if not math.isfinite(item[1])]
        self.diverged = Diverged(self.clock, wrong[0][0], str(wrong[0][1])) if wrong else None
        row = {
            **self.metrics,
            "metrics": dict(self.metrics),
            TIME: self.clock,
            "timesteps_total": self.clock,
            "env_steps_this_iter": advanced,
            "settings": dict(self.settings),
        }
        if self.diverged is not None:
            row["diverged"] = self.diverged.to_dict()
        if result.get("done"):
            row["done"] = True
        if self.saved_every and result.get(SHOULD_CHECKPOINT, self._is_due(advanced)):
            row[SHOULD_CHECKPOINT] = True
        return row

    def ended(self, found: Divergence) -> dict[str, Any]:
        """The report of a trial in which something was not finite."""
        row = self.reported({})
        self.diverged = Diverged.from_dict(found.record(self.clock))
        return {**row, "diverged": self.diverged.to_dict()}

    def _advance(self, counted: Any) -> int:
        """Sets the clock to what the user's code has counted."""
        before = self.counted
        try:
            self.counted = index(counted)  # also numpy's
        except TypeError:
            self.counted = before
        if self.counted <= before:
            raise ValueError(f"{TIME} must be a whole number above {before}, got {counted!r}")
        self.clock += self.counted - before
        return self.counted - before

    def _is_due(self, advanced: int) -> bool:
        """Whether an interval has ended within what the clock has just advanced."""
        return self.clock // self.saved_every > (self.clock - advanced) // self.saved_every
