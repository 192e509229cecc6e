"""What every command prints through."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from rltune.cli.spelling import typed
from rltune.errors import Interrupted, RltuneError
from rltune.runs.json_text import dumps

PIPE_WIDTH = 200

#: Words are printed as they are: in ``rltune[ax]``, rich would take a part for its own markup.
PLAIN: dict[str, Any] = {"highlight": False, "markup": False}

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


def number(value: float | None) -> str:
    """A number as a person reads it."""
    if value is None or math.isnan(value):
        return "-"
    if isinstance(value, int) or (abs(value) >= 100 and float(value).is_integer()):
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:,.1f}"
    if abs(value) < 1e-12:  # what is left of the difference of two equal means
        return "0"
    return f"{value:.4g}"


def bounds(interval: Sequence[float | None]) -> str:
    """The ends of an interval, ``[low, high]``; "-" where there is none."""
    low, high = map(number, interval)
    return low if low == high == number(None) else f"[{low}, {high}]"


def clock(seconds: float) -> str:
    """Seconds as minutes or hours."""
    if not math.isfinite(seconds):
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def setting(value: Any) -> str:
    """A setting's value as a person reads it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


class _Formatter(logging.Formatter):
    """Shows warnings with options as they are typed."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = typed(record.message)
        return super().formatMessage(record)


_handler = logging.StreamHandler()
_handler.setFormatter(_Formatter("%(name)s: %(message)s"))
logging.basicConfig(handlers=[_handler], level=logging.WARNING)
