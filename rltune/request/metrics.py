"""What a report of a user's code holds: numbers by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rltune.engine.metric_names import EVERYTHING

#: Names that no metric may have: fields of a report, and what Tune adds to one.
RESERVED = frozenset(
    {
        *("trial", "env_steps_this_iter", "wall_seconds", "settings", "diverged"),
        *("train_seconds", "metrics", "restored", "events", "config", "trial_id", EVERYTHING),
        *("training_iteration", "timesteps_total", "time_this_iter_s", "time_total_s"),
        *("time_since_restore", "iterations_since_restore"),
        *("date", "timestamp", "pid", "hostname", "node_ip"),
    }
)
#: Names by which a class trainable tells Tune something, and which are no metrics.
TOLD = frozenset({"done", "should_checkpoint"})


def flat(metrics: Mapping[Any, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    """Yields metrics by name; names of nested ones are joined by "/"."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{inside}{name}/")
        else:
            yield f"{inside}{name}", value


def number(value: Any) -> float | None:
    """A number of any library's, or a flag, as 0 or 1; None for anything else."""
    try:
        value = value.item() if hasattr(value, "item") else value  # numpy's and torch's
        return float(value) if hasattr(value, "__float__") else None
    except (TypeError, ValueError, RuntimeError):  # an array or a tensor of several numbers
        return None


def numbers(metrics: Mapping[Any, Any]) -> dict[str, float]:
    """The numbers among metrics, by name; others are left out."""
    found = ((name, number(value)) for name, value in flat(metrics))
    return {name: value for name, value in found if value is not None}


def check(metrics: Any) -> None:
    """Checks what a function reports.

    Raises:
        TypeError: it is no dict, or a metric is no number.
        ValueError: a name is rltune's own, or that of two metrics.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"a report is a dict of numbers by name, got {metrics!r}")
    if taken := sorted((RESERVED | TOLD) & {str(name) for name in metrics}):
        raise ValueError(f"{', '.join(taken)}: rltune reports that itself; use another name")
    seen: set[str] = set()
    for name, value in flat(metrics):
        if name in seen:
            raise ValueError(f"metric {name} is reported twice, by its name and within a dict")
        seen.add(name)
        if number(value) is None:
            raise TypeError(
                f"metric {name} is {value!r}, no number: report numbers, flags, or dicts of them"
            )
