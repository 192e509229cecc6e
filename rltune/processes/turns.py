"""Whose environment a batch's process was in when it ended."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from rltune.processes.watchdog import has_told

_FILE = ".turn"


class Turns(AbstractContextManager[Any]):
    """Context around the calls of a batch's environments that outlives their process.

    Args:
        watch: entered with it.
        folder: where the turn is kept; None for nowhere.
        copies: environments of one member.

    Attributes:
        turn: the copy that is called now, or -1, and ``copies``; to be set before each call.
    """

    def __init__(
        self, watch: AbstractContextManager[Any], folder: Path | None, copies: int
    ) -> None:
        self._watch = watch
        self.turn = np.zeros(2, np.int64)
        if folder is not None:
            self.turn = np.asarray(np.memmap(folder / _FILE, np.int64, "w+", shape=2))
        self.turn[:] = -1, copies

    def __enter__(self) -> Any:
        return self._watch.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        self.turn[0] = -1
        return self._watch.__exit__(*raised)


def blamed(folder: Path) -> int | None:
    """Returns the member whose environment ended a process, as the process left it in a folder.

    None if it ended between calls, or the watchdog does not tell of a hang, a crash or an exit.
    """
    file = folder / _FILE
    if not file.is_file() or not has_told(folder):
        return None
    copy, copies = np.fromfile(file, np.int64, 2).tolist()
    return None if copy < 0 else copy // copies
