"""Who sits in a group of trials, and what takes a seat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltune.runs.checkpoints import REPLAY_FILE, verify
from rltune.runs.records import CheckpointRecord, Exploit


@dataclass
class Seat:
    """A trial in a group.

    Attributes:
        config: its whole configuration.
        iteration: reports so far.
        seconds: spent on it.
        restored: what its next report says of a restore.
        diverged: what was not finite; it trains no more.
        env_steps: its clock at its last report.
        told: ``seconds`` at that time.
        extra: steps since then that nobody learned from.
    """

    trial: str
    config: Mapping[str, Any]
    iteration: int = 0
    seconds: float = 0.0
    restored: dict[str, Any] | None = None
    diverged: dict[str, Any] | None = None
    env_steps: int = 0
    told: float = 0.0
    extra: int = 0


@dataclass(frozen=True)
class Arrival:
    """What takes a seat before the next training.

    Attributes:
        seat: its number.
        trial: its id.
        config: its whole configuration.
        checkpoint: what it continues from; None for a start from nothing.
        iteration: reports of the trial so far.
        copied_from: the seat of this group that holds what the checkpoint holds, or None.
    """

    seat: int
    trial: str
    config: Mapping[str, Any]
    checkpoint: str | None = None
    iteration: int = 0
    copied_from: int | None = None


@dataclass(frozen=True)
class Start:
    """What an arrival continues from.

    Attributes:
        folder: its checkpoint.
        record: of the checkpoint.
        exploit: what makes the trial a clone now; None where it continues its own training.
    """

    arrival: Arrival
    folder: Path
    record: CheckpointRecord
    exploit: Exploit | None

    @classmethod
    def of(cls, arrival: Arrival, algo: str) -> Start | None:
        """None where the trial starts from nothing.

        Raises:
            BadCheckpoint: its checkpoint is damaged, or another algorithm's.
        """
        if arrival.checkpoint is None:
            return None
        folder = Path(arrival.checkpoint)
        verify(folder, algo, skip=(REPLAY_FILE,))
        record = CheckpointRecord.read(folder)
        given = arrival.config.get("exploit")
        clones = given and record.trial_id != arrival.trial
        return cls(arrival, folder, record, Exploit.from_dict(given) if clones else None)
