"""The file of a replay buffer: slots of each environment, oldest first; arrays alone, no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write(
    path: Path,
    layout: tuple[int, int, int],
    used: np.ndarray,
    running: np.ndarray,
    columns: Mapping[str, np.ndarray],
) -> None:
    """Writes the slots of a buffer.

    Args:
        layout: capacity, environments and frames in a stack: what two buffers have in common.
        used: number of slots of each environment.
        running: whether the last of them is the observation that its last transition leads to.
        columns: of all slots, those of an environment side by side. See
            :attr:`rltune.engine.replay_buffer.Layout.columns`; ``priorities`` too, where there
            are any.
    """
    arrays: dict[str, Any] = {"layout": layout, "used": used, "open": running, **columns}
    np.savez(path, **arrays)


def read(
    path: Path, layout: tuple[int, int, int], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """What :func:`write` wrote, by the names of its arguments; ``running`` is ``open``.

    Args:
        shapes: of one slot, by column.

    Raises:
        ValueError: the file is of another layout.
    """
    with np.load(path, allow_pickle=False) as saved:
        held = {name: saved[name] for name in saved.files}
    if tuple(held["layout"]) != layout or any(
        held[name].shape[1:] != shape for name, shape in shapes.items()
    ):
        capacity, num_envs, frame_stack = held["layout"].tolist()
        raise ValueError(
            f"{path} is of {num_envs} environments with {capacity} transitions of "
            f"{frame_stack} frames of shape {held['obs'].shape[1:]}; this buffer is of "
            f"{layout[1]}, {layout[0]}, {layout[2]} and {shapes['obs']}"
        )
    return held
