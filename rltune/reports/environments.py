"""The score in each environment of a run that has several."""

from __future__ import annotations

from dataclasses import dataclass

from rltune.runs.summary_record import Evaluation, Interval
from rltune.spec import RunSpec


@dataclass(frozen=True)
class Row:
    """What the best policy of one environment reached.

    Attributes:
        normalized, normalized_ci95: on the scale from ``random`` (0) to ``threshold`` (1).
        mean, ci95: of the returns.
    """

    name: str
    normalized: float
    normalized_ci95: Interval
    mean: float
    ci95: Interval
    random: float
    threshold: float
    episodes: int


def rows(spec: RunSpec, evaluation: Evaluation | None) -> list[Row]:
    """A row for each environment; none of a run that has one, or no score."""
    scores = evaluation.environments if evaluation is not None else {}
    return [
        Row(
            name=one.name,
            normalized=scores[one.name].normalized,
            normalized_ci95=scores[one.name].normalized_ci95,
            mean=scores[one.name].mean,
            ci95=scores[one.name].ci95,
            random=one.random.mean,
            threshold=one.threshold,
            episodes=scores[one.name].episodes,
        )
        for one in spec.environments
        if one.name in scores
    ]
