"""What trials of a simulation report: curves from a formula, or of any object that "trains"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

#: The value of the metric that a trial has at constant settings, at an age in environment steps.
Score = Callable[[Mapping[str, Any], int], float]


@dataclass(frozen=True)
class Segment:
    """What a trial trains between two reports.

    Attributes:
        trial: its name, ``t00``, ``t01`` ...
        settings: its whole configuration, ``seed`` among it.
        start: its age in environment steps before.
        stop: its age at the report.
        weights: what :meth:`Curves.train` returned last, or returned to the trial whose checkpoint
            this one continues from; None for a new trial.
        rng: a generator that is the same for the same trial and age, however often the trial is
            taken back to a checkpoint.
    """

    trial: str
    settings: Mapping[str, Any]
    start: int
    stop: int
    weights: Any
    rng: np.random.Generator


@runtime_checkable
class Curves(Protocol):
    """Stands for the training of a trial."""

    def train(self, segment: Segment) -> tuple[Any, float]:
        """The weights and the value of the metric after a segment.

        Returns:
            Weights, as JSON holds them: they are saved, and an exploit copies them. And the value
            without the noise of a report; where it is not finite, the trial diverges.
        """


class ScoreCurves:
    """Curves of a formula that says what constant settings come to.

    Weights have an age, the environment steps that they were trained for. A trial that continues
    from other weights, or at other settings, gains from there what the formula gains at its
    settings and the age of its weights. At constant settings the formula holds as it is.
    """

    def __init__(self, score: Score) -> None:
        self._score = score

    def train(self, segment: Segment) -> tuple[Any, float]:
        """The weights are the level that was reached, and their age."""
        level, age = segment.weights or (None, 0)
        later = age + segment.stop - segment.start
        reached = float(self._score(segment.settings, later))
        if level is not None:
            reached += level - float(self._score(segment.settings, age))
        return [reached, later], reached


class GainCurves:
    """Curves of a formula that says what one environment step adds, at settings and an age.

    The age is that of the weights, as above. An optimum may drift with it.

    >>> curves = GainCurves(lambda settings, env_steps: settings["lr"] / env_steps)

    Args:
        start: the level of a new trial.
    """

    def __init__(self, gain: Score, start: float = 0.0) -> None:
        self._gain = gain
        self._start = start

    def train(self, segment: Segment) -> tuple[Any, float]:
        """The weights are the level that was reached, and their age."""
        level, age = segment.weights or (self._start, 0)
        steps = segment.stop - segment.start
        level += steps * float(self._gain(segment.settings, age + steps))
        return [level, age + steps], level
