"""A tracker that fails where the variable BROKEN says, as a library might."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rltune.callbacks.loggers.base import Logger, Points, Status

WHERE = os.environ["BROKEN"]


def here(place: str) -> None:
    """Fails, if this is the place."""
    print(f"a page of noise at {place}")  # noqa: T201
    if place == WHERE:
        raise ConnectionError(f"no route to the tracker at {place}")
    if f"exit at {place}" == WHERE:
        sys.exit(3)
    if f"crash at {place}" == WHERE:
        os.abort()
    if f"hang at {place}" == WHERE:
        time.sleep(60)


here("import")
if WHERE == "atexit":
    atexit.register(os._exit, 5)


class BrokenLogger(Logger):
    @classmethod
    def problem(cls) -> str | None:
        here("problem")
        return "log in first" if WHERE == "login" else None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        here("start")

    def open(self, run: str, config: Mapping[str, Any]) -> None:
        here("open")

    def points(self, run: str, points: Points) -> None:
        here("points")

    def settings(self, run: str, settings: Mapping[str, Any]) -> None:
        here("settings")

    def scores(self, run: str, scores: Mapping[str, float]) -> None:
        here("scores")

    def lineage(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        here("lineage")

    def artifact(self, run: str, name: str, paths: Sequence[Path]) -> None:
        here("artifact")

    def close(self, run: str, status: Status) -> None:
        here("close")

    def end(self, status: Status) -> None:
        here("end")


LOGGER = BrokenLogger
