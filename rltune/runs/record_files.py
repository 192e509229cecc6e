"""Records in the files of a folder: written whole, appended to, checked as they are read."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

from rltune import schema
from rltune.errors import BadInput
from rltune.runs.json_text import dumps, loads
from rltune.runs.storage_faults import patiently
from rltune.schema import Record

AnyRecord = TypeVar("AnyRecord", bound=Record)
#: The least that a file must hold.
TABLE = Mapping[str, Any]

log = logging.getLogger("rltune")


class RecordFiles:
    """The files below a folder, by their names in it.

    Attributes:
        path: of the folder, absolute.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).resolve()

    def has(self, name: str) -> bool:
        """Whether a file of the folder is there."""
        return (self.path / name).exists()

    def write_text(self, name: str, text: str) -> None:
        """Writes a file, whole or not at all."""
        patiently(lambda: self._write_text(self._place(name), text))

    def _write_text(self, path: Path, text: str) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)

    def _place(self, name: str) -> Path:
        """The path of a file that is about to be written.

        Raises:
            FileNotFoundError: the folder is gone; it is not made again.
        """
        path = self.path / name
        if not self._is_there():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _is_there(self) -> bool:
        """Whether files may be added."""
        return self.path.is_dir()

    def append(self, name: str, values: Mapping[str, Any]) -> None:
        """Adds a line of JSON to a file."""
        patiently(lambda: self._append(self._place(name), values))

    def _append(self, path: Path, values: Mapping[str, Any]) -> None:
        with path.open("a+b") as file:
            if file.tell() and not _ends_a_line(file):
                file.write(b"\n")  # a crash cut the last line: this one must not be lost with it
            file.write(dumps(values).encode() + b"\n")

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """Writes a file of JSON, whole or not at all."""
        self.write_text(name, dumps(values, indent=2) + "\n")

    def read(self, name: str, kind: type[AnyRecord]) -> AnyRecord:
        """The record that a file holds. Raises as :meth:`contents` does."""
        path = self.path / name
        values = _loaded(path, kind)
        try:
            return kind.from_dict(values)
        except BadInput as error:
            raise _damaged(path, error.problems) from error

    def contents(self, name: str, wanted: Any, checked: Any = None) -> dict[str, Any]:
        """The table that a file holds.

        Args:
            wanted: its type; checked: the type that it is checked against, where that is another.

        Raises:
            BadInput: it cannot be read, or is of another type.
        """
        path = self.path / name
        values: dict[str, Any] = _loaded(path, wanted)
        if problems := schema.problems(values, checked or wanted):
            raise _damaged(path, problems)
        return values

    def lines(self, name: str, wanted: Any, checked: Any = None) -> Iterator[dict[str, Any]]:
        """The tables that the lines of a file hold; others are left out, with a warning."""
        path = self.path / name
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                try:
                    values = loads(line, wanted)
                    problems = schema.problems(values, checked or wanted)
                except (ValueError, RecursionError):
                    problems = ["it is not a whole line"]
                if problems:
                    told = "; ".join(problems)
                    log.warning("%s:%d is left out: %s", path, number, told)
                else:
                    yield values


def _loaded(path: Path, wanted: Any) -> Any:
    try:
        return loads(path.read_text(encoding="utf-8"), wanted)
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def _damaged(path: Path, problems: list[str]) -> BadInput:
    return BadInput([f"{path} is damaged: {problem}" for problem in problems])


def _ends_a_line(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
