"""Follows a run by its folder alone: from another terminal, or from another machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from rltune.errors import BadInput
from rltune.live.progress import Progress
from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import loads
from rltune.runs.names import number_of
from rltune.runs.records import Decision, Phase, Report
from rltune.schema import Record


class Tail:
    """Whole lines that were added to a file since it was last read.

    Attributes:
        again: whether the file was written again, so that all that it had said before is void.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0
        self._inode = 0
        self.again = False

    def lines(self) -> list[bytes]:
        """Reads the new ones."""
        try:
            with self._path.open("rb") as file:
                state = os.fstat(file.fileno())
                self.again = bool(self._inode) and (
                    state.st_ino != self._inode or state.st_size < self._place
                )
                self._inode = state.st_ino
                if self.again:
                    self._place = 0
                if state.st_size == self._place:
                    return []
                file.seek(self._place)
                text = file.read()
        except OSError:  # not there yet, or being replaced
            return []
        whole = text.rfind(b"\n") + 1
        self._place += whole
        return text[:whole].splitlines()


AnyRecord = TypeVar("AnyRecord", bound=Record)


class RunReader:
    """Keeps a :class:`Progress` up to date with a run folder. It writes nothing and takes no lock.

    Raises:
        BadInput: run.json is damaged.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.progress = Progress(folder.spec, folder.job)
        self._tails: dict[str, Tail] = {}
        self._state_time = 0

    def read(self) -> Progress:
        """Takes in what is new."""
        self.folder.refresh()
        self._read_phases()
        self._read_reports()
        for decision in self._records("decisions.jsonl", Decision):
            self.progress.decided(decision)
        self._read_statuses()
        if self.progress.summary is None:
            self.progress.summary = self.folder.summary
        return self.progress

    def _read_phases(self) -> None:
        for phase in self._records("phases.jsonl", Phase):
            self.progress.entered(phase)

    def _read_reports(self) -> None:
        new: list[Report] = []
        paths = self.folder.path.glob("trials/*/progress.jsonl")
        for path in sorted(paths, key=lambda path: number_of(path.parent.name)):
            name = str(path.relative_to(self.folder.path))
            rows = self._records(name, Report)
            if self._tails[name].again:
                self.progress.went_back(path.parent.name, -1)
            new += rows
        for row in sorted(new, key=lambda row: row.wall_seconds):
            self.progress.reported(row)

    def _read_statuses(self) -> None:
        """Of every trial, as of the last state that was saved."""
        with suppress(OSError, BadInput):
            changed = state_file.modified(self.folder.path)
            if changed != self._state_time:
                self._state_time = changed
                saved = state_file.read(self.folder.path) or {}
                for entry in saved.get("trials", ()):
                    self.progress.changed_status(str(entry["id"]), str(entry["status"]))

    def _records(self, name: str, kind: type[AnyRecord]) -> list[AnyRecord]:
        """The new records of a file; a line that is none is left out."""
        tail = self._tails.setdefault(name, Tail(self.folder.path / name))
        records = []
        for line in tail.lines():
            with suppress(ValueError, RecursionError, BadInput):
                records.append(kind.from_dict(loads(line.decode(), kind)))
        return records
