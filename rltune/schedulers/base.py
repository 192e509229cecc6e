"""What every scheduler is built from, and what it decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltune.spec import RunSpec

#: The clock of a trial, by its name in a report.
TIME = "env_steps"


@dataclass(frozen=True)
class Decision:
    """What a scheduler decided about a trial.

    Attributes:
        kind: "exploit", "stop", or "change": other settings from here on, as a schedule says.
        trial: its id.
        env_steps: on the trial's clock.
        donor: id of the trial whose weights and settings were taken; None but for an exploit.
        requested: the searched settings asked for.
        donor_env_steps: on the donor's clock, of the checkpoint that was copied.
    """

    kind: str
    trial: str
    env_steps: int
    donor: str | None
    requested: dict[str, Any]
    donor_env_steps: int | None = None


@dataclass(frozen=True)
class SchedulerContext:
    """What a scheduler is built from.

    Attributes:
        decided: to be called with decisions that are made together, before they take effect.
        slots: trials that run at a time.
        checkpoint_of: the last checkpoint that a trial wrote itself, by the trial's id.
        noticed: to be told what a person should know.
    """

    spec: RunSpec
    decided: Callable[[Sequence[Decision]], None]
    slots: int
    checkpoint_of: Callable[[str], Path | None] = lambda _trial: None
    noticed: Callable[[str], None] = lambda _text: None
