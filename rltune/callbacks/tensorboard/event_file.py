"""Event files as TensorBoard reads them, without a thread or an open file for each trial."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

#: What the name of an event file begins with. TensorBoard reads those of a folder by their names.
PREFIX = "events.out.tfevents"
_VERSION = "brain.Event:2"
_DIGITS = re.compile(r"\d{1,18}")


class EventFile:
    """A new event file. What is written is on disk at once.

    Args:
        folder: of the run, as TensorBoard calls one curve.
        purge_step: what earlier files of the folder hold of this step and later ones is hidden.
    """

    def __init__(self, folder: Path, purge_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        seconds = max(int(time.time()), 1 + _newest(folder))
        self._path = folder / f"{PREFIX}.{seconds:010}.{socket.gethostname()}.{os.getpid()}"
        start = SessionLog(status=SessionLog.START)
        self._append(Event(file_version=_VERSION), Event(step=purge_step, session_log=start))

    def add_scalars(self, values: Mapping[str, float], step: int, seconds_ago: float = 0) -> None:
        """Adds a point to each of several curves, by their tags."""
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        at = time.time() - seconds_ago
        self._append(Event(step=step, summary=Summary(value=points), wall_time=at))

    def add_text(self, tag: str, text: str, step: int) -> None:
        """Adds a text in Markdown."""
        self._append(Event(step=step, summary=text_pb(tag, text)))

    def _append(self, *events: Event) -> None:
        with self._path.open("ab") as file:
            file.write(encoded(events))


def is_drawn(folder: Path) -> bool:
    """Whether a folder holds event files."""
    return any(folder.glob(f"{PREFIX}.*"))


def _newest(folder: Path) -> int:
    """Seconds in the name of the newest event file of a folder: names order, the clock may jump."""
    stamps = [path.name.removeprefix(f"{PREFIX}.") for path in folder.glob(f"{PREFIX}.*")]
    return max((int(found[0]) for found in map(_DIGITS.match, stamps) if found), default=0)


def encoded(events: Iterable[Event]) -> bytes:
    """Events as the records of an event file; those without a time are of now."""
    buffer = BytesIO()
    records = RecordWriter(buffer)
    for event in events:
        event.wall_time = event.wall_time or time.time()
        records.write(event.SerializeToString())
    return buffer.getvalue()


def encoded_file(summaries: Iterable[Summary]) -> bytes:
    """A whole event file of summaries that have no step."""
    events = [Event(summary=summary) for summary in summaries]
    return encoded([Event(file_version=_VERSION), *events])
