"""What one experiment tracker does for rltune. It runs in a process of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rltune.schema import Record

#: What experiments and projects are called unless the user's own settings name one.
PROJECT = "rltune"
#: Name of the x axis of every curve.
STEP = "env_steps"

#: How something ended; "stopped" may continue.
Status = Literal["finished", "failed", "stopped"]
#: Points of curves: environment steps, and the values there by tag.
Points = Sequence[tuple[int, Mapping[str, float]]]


@dataclass
class Sweep:
    """The run of rltune that is logged.

    Attributes:
        name: of the run.
        config: what it was asked for, without secrets.
        ids: the tracker's own ids of what it has made, by name, also in an earlier part of the run;
            a logger adds to them.
    """

    name: str
    config: Mapping[str, Any]
    ids: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Made(Record):
    """What a tracker has been told of a run, in the run folder.

    Attributes:
        ids: the tracker's own, by rltune's names.
        open: runs of the tracker's that have not ended.
        logged: environment steps of the last point of each run.
    """

    ids: dict[str, str]
    open: list[str]
    logged: dict[str, int]

    @staticmethod
    def file(tracker: str) -> str:
        """Its name."""
        return f"loggers/{tracker}.json"


class Logger(ABC):
    """Logs a sweep: one of the tracker's runs for each trial, and one for the champion.

    Its methods may raise and may take time: they hold up neither the sweep nor other loggers.
    """

    @classmethod
    def problem(cls) -> str | None:
        """What keeps the user's settings from being used, with its fix; asks no server."""
        return None

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep

    @abstractmethod
    def open(self, run: str, config: Mapping[str, Any]) -> None:
        """Begins a run of the tracker's, or continues the one that ``sweep.ids`` has of its name.

        Args:
            run: ``t00``, or ``champion``.
            config: every setting of the trial, by name.
        """

    @abstractmethod
    def points(self, run: str, points: Points) -> None:
        """Adds points to curves, whose x axis are environment steps."""

    @abstractmethod
    def settings(self, run: str, settings: Mapping[str, Any]) -> None:
        """Shows other settings as those in effect, as an exploit has changed them."""

    @abstractmethod
    def scores(self, run: str, scores: Mapping[str, float]) -> None:
        """Shows numbers of a run that are no curve: its score on fresh seeds."""

    @abstractmethod
    def lineage(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Shows what the weights of a run lived through, a row for each segment."""

    @abstractmethod
    def artifact(self, run: str, name: str, paths: Sequence[Path]) -> None:
        """Adds files and folders to a run."""

    @abstractmethod
    def close(self, run: str, status: Status) -> None:
        """Ends a run of the tracker's; it may be opened again."""

    @abstractmethod
    def end(self, status: Status) -> None:
        """Ends the logging of this part of the sweep; closes runs that are open."""


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table."""
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([*row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
