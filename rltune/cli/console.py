"""What every command prints through."""

from __future__ import annotations

import codecs
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.text import Text

from rltune.cli.spelling import typed
from rltune.errors import Interrupted, RltuneError
from rltune.runs.json_text import dumps

PIPE_WIDTH = 200
#: Columns that tables are made for, at least: in fewer, numbers would be cut or folded.
NARROWEST = 40

#: Words are printed as they are: in ``rltune[ax]``, rich would take a part for its own markup.
PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}

#: Messages: to stderr, so that stdout can be piped.
messages = Console(stderr=True, **PLAIN)


#: What stands for a sign where the encoding of stdout lacks it.
_STANDS_FOR = {"★": "*", "↓": "v", "↑": "^", "→": ">"}


def _replace(error: UnicodeError) -> tuple[str, int]:
    """An error handler of :mod:`codecs`: a run must not fail on its last words."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_STANDS_FOR.get(sign, "?") for sign in lacking), error.end


codecs.register_error("rltune", _replace)


def output(json: bool = False, narrowest: int = NARROWEST) -> Console:
    """Where a command's own output goes; to stderr where stdout is kept for JSON.

    A pipe or a file has no width that words would have to be folded to.
    """
    with suppress(AttributeError):  # a stream that is none of Python's own
        sys.stdout.reconfigure(errors="rltune")  # type: ignore[union-attr]
    to_terminal = (sys.stderr if json else sys.stdout).isatty() or "COLUMNS" in os.environ
    console = Console(stderr=json, width=None if to_terminal else PIPE_WIDTH, **PLAIN)
    if console.width < narrowest:
        console.width = narrowest
    return console


def print_json(values: Mapping[str, Any]) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(dumps(values) + "\n")
    sys.stdout.flush()


def show_error(error: RltuneError) -> None:
    """Prints what is wrong, where, and how to fix it."""
    word = "interrupted" if isinstance(error, Interrupted) else "error"
    for problem in str(error).splitlines():
        text = Text.assemble(
            (f"{word}: ", "bold red" if word == "error" else "bold"), typed(problem)
        )
        messages.print(text, soft_wrap=True)


class _Formatter(logging.Formatter):
    """Shows warnings with options as they are typed."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = typed(record.message)
        return super().formatMessage(record)


_handler = logging.StreamHandler()
_handler.setFormatter(_Formatter("%(name)s: %(message)s"))
logging.basicConfig(handlers=[_handler], level=logging.WARNING)
