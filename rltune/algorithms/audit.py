"""What was asked for, compared with what is read back from where it acts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltune.catalog.algorithms import ALGORITHMS

#: Schedules and temperatures pass through float32 on their way.
TOLERANCE = 1e-6

_NUMBER = (int, float)
#: What a setting's value looks like, by the setting's type; RLlib's further forms ("auto", a range
#: to draw from) have nothing they could be compared with.
_FORMS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "ints": (list, tuple),
    "schedule": (*_NUMBER, list, tuple),
    "float": _NUMBER,
    "int": _NUMBER,
}


@dataclass(frozen=True)
class Reading:
    """A setting's value where it acts.

    Attributes:
        name: of the setting.
        place: the object it was read from, worded to follow "the".
        value: as it stands there; a schedule's points, or its value of the moment.
    """

    name: str
    place: str
    value: Any


def asked_for(algo: str, config: Any) -> dict[str, Any]:
    """The settings of a config, a dict or RLlib's; those left open are left out."""
    names = ALGORITHMS[algo].settings
    values = config if isinstance(config, Mapping) else vars(config)
    found = {
        name: list(value) if isinstance(value := values[name], tuple) else value
        for name in names
        if values.get(name) is not None
    }
    a_learner = values.get("_train_batch_size_per_learner")
    a_learner = values.get("train_batch_size_per_learner", a_learner)
    if a_learner is not None:  # it wins, as in RLlib
        found["train_batch_size"] = a_learner * (values.get("num_learners") or 1)
    return found


def mismatches(
    algo: str, asked: Mapping[str, Any], readings: Iterable[Reading], env_steps: int
) -> list[str]:
    """Each reading that differs from what was asked for, with both values.

    Args:
        env_steps: the trial's clock, which a schedule is taken at.
    """
    settings = ALGORITHMS[algo].settings
    found = []
    for reading in readings:
        wanted = asked.get(reading.name)
        if not isinstance(wanted, _FORMS[settings[reading.name].type]):
            continue
        if settings[reading.name].type == "schedule":
            agree = _schedules_agree(wanted, reading.value, env_steps)
        else:
            agree = _agree(wanted, reading.value)
        if not agree:
            shown = f"{reading.name} acts at {_text(reading.value)}, asked for {_text(wanted)}"
            found.append(f"the {reading.place}'s {shown}")
    return found


def _schedules_agree(wanted: Any, acting: Any, env_steps: int) -> bool:
    largest = max(abs(point[1]) for point in wanted) if isinstance(wanted, list | tuple) else 0.0
    return math.isclose(
        _value_at(wanted, env_steps),
        _value_at(acting, env_steps),
        rel_tol=TOLERANCE,
        abs_tol=TOLERANCE * largest,
    )


def _value_at(schedule: Any, env_steps: int) -> float:
    """The value of a number or of points with straight lines between."""
    if not isinstance(schedule, list | tuple):
        return float(schedule)
    steps, values = zip(*schedule, strict=True)
    return float(np.interp(env_steps, steps, values))


def _agree(wanted: Any, acting: Any) -> bool:
    if isinstance(wanted, bool | str) or not isinstance(wanted, int | float):
        return bool(_listed(wanted) == _listed(acting))
    return isinstance(acting, int | float) and math.isclose(wanted, acting, rel_tol=TOLERANCE)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else repr(value)
