"""One member's replay buffer as a file, the same as a single trial's, both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rltune.engine import replay_files
from rltune.engine.population.replay_rows import DONE, REWARD, TERMINATED, VALID, ReplayRows

#: Columns of a file by those of :attr:`ReplayRows.outcomes`, and their dtypes.
_OUTCOMES = {
    REWARD: ("rewards", np.float32),
    TERMINATED: ("terminated", bool),
    DONE: ("last", bool),
    VALID: ("live", bool),
}
#: Names of the other columns, by that of a member's rows.
_NAMES = {"obs": "obs", "actions": "actions", "ages": "age", "priorities": "priorities"}


def save(replay: ReplayRows, member: int, path: Path) -> None:
    """Writes a member's buffer, which :meth:`rltune.engine.replay_buffer.ReplayBuffer.load` reads.

    A row is a slot; those of resets and of the newest observations are no transitions.
    """
    rows = {name: each.cpu().numpy() for name, each in replay.take(member).items()}
    outcomes = rows.pop("outcomes")
    columns = {_NAMES[name]: each for name, each in rows.items()}
    for number, (name, dtype) in _OUTCOMES.items():
        columns[name] = outcomes[..., number].astype(dtype)
    columns.setdefault("age", np.zeros(outcomes.shape[:2], dtype=np.uint8))
    count, copies = outcomes.shape[:2]
    ends = outcomes[-2, :, VALID] > 0 if count > 1 else np.zeros(copies, dtype=bool)
    replay_files.write(
        path,
        replay.layout.signature,
        np.full(copies, count),
        ends,
        {name: each.swapaxes(0, 1).reshape(-1, *each.shape[2:]) for name, each in columns.items()},
    )


def load(replay: ReplayRows, member: int, path: Path) -> None:
    """Gives a member the buffer of a file in place of its own, and ends its episodes.

    Raises:
        ValueError: the file is of another layout; the buffer stays unchanged.
    """
    layout = replay.layout
    shapes = {"obs": layout.frame, "actions": layout.action_shape}
    held = replay_files.read(path, layout.signature, shapes)
    used = held["used"]
    longest, copies = int(used.max()), layout.copies
    at = [np.arange(end - count, end) for end, count in zip(np.cumsum(used), used, strict=True)]

    def rows(column: np.ndarray) -> torch.Tensor:
        """The slots of all copies, those of the same age side by side."""
        table = np.zeros((longest, copies, *column.shape[1:]), column.dtype)
        for copy, slots in enumerate(at):
            table[longest - len(slots) :, copy] = column[slots]
        return torch.from_numpy(table)

    found = {ours: rows(held[name]) for ours, name in _NAMES.items() if name in held}
    outcomes = [rows(held[name].astype(np.float32)) for name, _ in _OUTCOMES.values()]
    replay.place(member, {**found, "outcomes": torch.stack(outcomes, -1)})
