"""A TOML file, read and taken apart: problems gather, each with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rltune.errors import BadInput

#: A preset or a space is a page of text; anything larger is something else.
MAX_BYTES = 1 << 20


@dataclass
class TomlFile:
    """The contents of a TOML file.

    Attributes:
        label: what messages call the file.
        problems: those found so far; the reader raises all of them at once.
    """

    label: str
    text: str
    tables: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, label: str, what: str) -> TomlFile:
        """Reads a file.

        Args:
            what: what the file should be: "preset".

        Raises:
            BadInput: it cannot be read, is too large, or is no TOML.
        """
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise BadInput(
                    f"{label}: {size} bytes is no {what}; a {what} is under 1 MiB of TOML"
                )
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"{label}: not UTF-8 text ({error.reason}); a {what} is TOML") from error
        except OSError as error:
            raise BadInput(f"{label}: {error.strerror or error}") from error
        try:
            return cls(label, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise BadInput(f"{label}: not TOML: {error}") from error

    def complain(self, path: str | Sequence[str], message: str) -> None:
        """Notes a problem at the line of a key, or of a path of tables and a key."""
        line = line_of(self.text, [path] if isinstance(path, str) else path)
        self.problems.append(f"{self.label}{f':{line}' if line else ''}: {message}")

    def table(self, name: str) -> dict[str, Any]:
        """Returns a table of the file, empty where it has none."""
        body = self.tables.get(name, {})
        if not isinstance(body, dict):
            self.complain(name, f"{name} must be a table: write [{name}]")
            return {}
        return body


def line_of(text: str, path: Sequence[str]) -> int | None:
    """Returns the line that a key stands in, 1 for the first: tomllib does not tell.

    >>> line_of("[model]\\nhidden = 3", ["model", "hidden"])
    2
    >>> line_of("model.hidden = 3", ["model", "hidden"])
    1
    >>> line_of("model = { hidden = 3 }", ["model", "hidden"])
    1
    """
    for depth in reversed(range(len(path))):
        rest = path[depth:]
        for key in (".".join(rest), rest[0]):
            if line := _line_in_table(text, key, ".".join(path[:depth])):
                return line
    return None


def _line_in_table(text: str, key: str, table: str) -> int | None:
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+([^\]]+)\]", line):
            current = header[1].strip()
            if current == (f"{table}.{key}" if table else key):
                return number
        elif current == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return None
