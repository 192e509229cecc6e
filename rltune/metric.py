"""What is tuned, selected and scored by: a metric's name, and which way is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rltune.engine.episodes import PREFIX, REWARD, record_means
from rltune.errors import BadInput, did_you_mean, unknown

#: Which way a metric is better.
MODES = ("max", "min")


@dataclass(frozen=True)
class Metric:
    """A number that a trial reports, and which way it is better.

    Values are as they were measured: in files and on screen. Scores are what is compared: larger
    is always better.
    """

    name: str = REWARD
    mode: str = "max"

    @property
    def is_return(self) -> bool:
        """Whether it is the training return, in which targets and thresholds are given."""
        return self.name == REWARD

    @property
    def words(self) -> str:
        """What a mean over episodes of it is called."""
        return "mean return" if self.is_return else f"mean {self.name.removeprefix(PREFIX)}"

    def __str__(self) -> str:
        return f"{self.name} ({self.mode})"

    @property
    def options(self) -> list[str]:
        """The words of a command line that ask for it; none for the return."""
        return [] if self == RETURN else ["--metric", self.name, "--mode", self.mode]

    def of(self, values: Mapping[str, Any]) -> float | None:
        """Its value among others by name; None where it is absent."""
        value = values.get(self.name)
        return None if value is None else float(value)

    def score(self, value: float) -> float:
        """A value as it is compared, and a score as its value."""
        return value if self.mode == "max" else -value

    def scores(self, values: Iterable[float]) -> list[float]:
        """Of each value."""
        return [self.score(value) for value in values]

    def score_of(self, values: Mapping[str, Any]) -> float | None:
        """Its score among values by name; None where it is absent."""
        value = self.of(values)
        return None if value is None else self.score(value)

    def of_record(self, record: Mapping[str, Any]) -> float | None:
        """Its value over the episodes in a checkpoint's record; None where none had it."""
        return self.of(record_means(record))

    def reaches(self, value: float | None, target: float | None) -> bool:
        """Whether a value is at least as good as a target."""
        if value is None or target is None:
            return False
        return self.score(value) >= self.score(target)

    def check(self) -> None:
        """Raises BadInput for a mode that there is not, or no name."""
        if self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)
        if not self.name.strip():
            raise BadInput("--metric needs a name, like episode_info/is_success")

    def not_reported(self, reported: Iterable[str]) -> BadInput:
        """The error that says that trials do not report it, but what they do."""
        names = sorted(reported)
        hint = did_you_mean(self.name, names)
        if f"{PREFIX}{self.name}" in names:
            hint = f" Did you mean '{PREFIX}{self.name}'?"
        return BadInput(
            f"the trials report no {self.name!r}, which is what is tuned.{hint} They report: "
            f"{', '.join(names)}"
        )


RETURN = Metric()
