"""The metric that a run tunes, selects and scores by, and its direction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from rltune.engine.episodes import PREFIX, REWARD
from rltune.engine.metric_names import NORMALIZED
from rltune.errors import BadInput, did_you_mean


@dataclass(frozen=True)
class Metric:
    """A number that a trial reports, and whether larger or smaller is better.

    Files and the screen show values as measured. Comparisons use scores, where larger is always
    better.
    """

    name: str = REWARD
    mode: str = "max"

    @classmethod
    def parse(cls, objective: str) -> Self:
        """A metric as an objective is written: ``-latency`` where smaller is better."""
        smaller = objective.startswith("-")
        return cls(objective.removeprefix("-"), "min" if smaller else "max")

    @property
    def objective(self) -> str:
        """The inverse of :meth:`parse`."""
        return f"-{self.name}" if self.mode == "min" else self.name

    @property
    def is_return(self) -> bool:
        """Whether it is the training return, the unit of presets' targets and of thresholds."""
        return self.name == REWARD

    @property
    def words(self) -> str:
        """Name of its mean over episodes, for messages."""
        if self.name == NORMALIZED:
            return "mean normalized score"
        return "mean return" if self.is_return else f"mean {self.name.removeprefix(PREFIX)}"

    def __str__(self) -> str:
        return f"{self.name} ({self.mode})"

    def of(self, values: Mapping[str, Any]) -> float | None:
        """Returns its value from metrics by name; None if absent."""
        value = values.get(self.name)
        return None if value is None else float(value)

    def score(self, value: float) -> float:
        """Converts a value to its score, and a score to its value."""
        return value if self.mode == "max" else -value

    def scores(self, values: Iterable[float]) -> list[float]:
        """Converts several values to their scores."""
        return [self.score(value) for value in values]

    def score_of(self, values: Mapping[str, Any]) -> float | None:
        """Returns its score from metrics by name; None if absent."""
        value = self.of(values)
        return None if value is None else self.score(value)

    def reaches(self, value: float | None, target: float | None) -> bool:
        """Returns whether a value is at least as good as a target; an infinite one is for never."""
        if value is None or target is None or math.isinf(target):
            return False
        return self.score(value) >= self.score(target)

    def not_reported(self, reported: Iterable[str]) -> BadInput:
        """Builds the error for trials that do not report it, with the names that they report."""
        names = sorted(reported)
        hint = did_you_mean(self.name, names)
        if f"{PREFIX}{self.name}" in names:
            hint = f" Did you mean '{PREFIX}{self.name}'?"
        return BadInput(
            f"the trials report no {self.name!r}, which is what is tuned.{hint} They report: "
            f"{', '.join(names) or 'nothing'}. The first report must have it."
        )


RETURN = Metric()
