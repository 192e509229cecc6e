"""What is drawn of a report, by TensorBoard's tags."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rltune.engine.metric_names import ENV_STEPS
from rltune.runs.records import Report
from rltune.runs.summary_record import Evaluation
from rltune.space import Space
from rltune.space.choices import Choice

SPEED = "throughput/env_steps_per_second"


def curves_of(report: Report, space: Space) -> dict[str, float]:
    """Points of the curves of a report: its metrics, its learner's numbers and its settings.

    Environment steps are the curves' axis.
    """
    points = {**report.numbers, **heights(report.settings, space)}
    points.pop(ENV_STEPS)
    return points


def heights(settings: Mapping[str, Any], space: Space) -> dict[str, float]:
    """Points of the curves of searched settings; an option of a choice is its place in the list."""
    points = {}
    for name, value in settings.items():
        parameter = space[name]
        if isinstance(parameter, Choice) and not isinstance(value, int | float):
            value = parameter.index(value)
        points[f"hyperparameters/{name}"] = float(value)
    return points


def speed(report: Report, seconds: float | None) -> dict[str, float]:
    """Environment steps a second since a trial's last report; nothing where no time passed."""
    return {SPEED: report.env_steps_this_iter / seconds} if seconds else {}


def scores(evaluation: Evaluation) -> dict[str, float]:
    """Points of a policy's score on fresh seeds; an interval of too few episodes has none."""
    low, high = evaluation.ci95
    points = {
        "evaluation/mean": evaluation.mean,
        "evaluation/iqm": evaluation.iqm,
        "evaluation/ci95_low": low,
        "evaluation/ci95_high": high,
    }
    return {tag: value for tag, value in points.items() if math.isfinite(value)}
