"""What every command prints through."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from rltune.cli.spelling import typed
from rltune.errors import Interrupted, RltuneError
from rltune.runs.json_text import dumps

PIPE_WIDTH = 200

#: Words are printed as they are: in ``rltune[ax]``, rich would take a part for its own markup.
PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}

#: Messages: to stderr, so that stdout can be piped.
messages = Console(stderr=True, **PLAIN)


def output(json: bool = False) -> Console:
    """Where a command's own output goes; to stderr where stdout is kept for JSON.

    A pipe or a file has no width that words would have to be folded to.
    """
    to_terminal = (sys.stderr if json else sys.stdout).isatty() or "COLUMNS" in os.environ
    return Console(stderr=json, width=None if to_terminal else PIPE_WIDTH, **PLAIN)


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
