"""The numbers of a trial's result that no report has a place for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rltune.engine.episodes import LENGTH, PREFIX, REWARD
from rltune.engine.metric_names import EVERYTHING, LEARNER, SECONDS
from rltune.request.metrics import flat, number
from rltune.schedulers.base import TIME

#: What a report has, at the top of a result, and what is no measurement.
_ELSEWHERE = {
    *("settings", "metrics", "restored", "diverged", "events", "config", LEARNER),
    *(REWARD, LENGTH, TIME, SECONDS, "timesteps_total", "training_iteration"),
    *("pid", "timestamp", "done", "should_checkpoint"),
}


def further_numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """Every finite number of a result beside those of its report, by its path in the result.

    Of RLlib these are timers, counts and all that its learners and environment runners report; of
    every trial, what Tune adds.
    """
    metrics = result.get("metrics", ())
    rest = {
        name: value
        for name, value in result.items()
        if name not in _ELSEWHERE and name not in metrics and not name.startswith(PREFIX)
    }
    rest = {**rest.pop(EVERYTHING, {}), **rest}
    named = {name: number(value) for name, value in flat(rest)}
    return {n: value for n, value in named.items() if value is not None and math.isfinite(value)}
