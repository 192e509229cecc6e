"""What was asked for, compared with what is read back from where it acts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rltune.catalog.algorithms import ALGORITHMS


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


def requested_settings(algo: str, config: Any) -> dict[str, Any]:
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
    differences = []
    for reading in readings:
        wanted = asked.get(reading.name)
        if not settings[reading.name].agrees(wanted, reading.value, env_steps):
            shown = f"{reading.name} acts at {_text(reading.value)}, asked for {_text(wanted)}"
            differences.append(f"the {reading.place}'s {shown}")
    return differences


def _text(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else repr(value)
