"""Headlines of failures (the user's own exception with file and line) and readable tracebacks.

The process that catches an exception adds the headline as a note, which every traceback includes.
If only the text of an exception is known, as for exceptions that Ray does not expect, the headline
is read from the text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from pathlib import Path
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Prefix of the note that holds a headline.
NOTE = "rltune: "
#: Most characters of an exception's message in a headline.
LONGEST = 400
#: Packages that call a user's code; their own frames do not help the user.
HOSTS = ("ray", "gymnasium", "torch", "numpy", "rltune")

_OWN = tuple(f"{path}/" for path in (Path(__file__).parents[1], Path(__file__).parents[2] / "envs"))
_STANDARD = f"{Path(os.__file__).parent}/"


def headline(error: BaseException) -> str:
    """Returns one line: the user's own exception, and where it was raised.

    In a chain, this is the last exception that passed through the user's code; in a group of one
    exception, that exception.
    """
    # The last one raised, among equals.
    return max(map(_told, _chain(error)), key=lambda link: link[0])[1]


def _told(error: BaseException) -> tuple[int, str]:
    """Returns how near one exception of a chain is to the user's code, and its headline."""
    if type(error).__name__.startswith(("RayTaskError", "ActorDiedError")):
        return _read_text(str(error))  # from another process, such as a runner
    if notes := [note for note in getattr(error, "__notes__", ()) if note.startswith(NOTE)]:
        return 2, notes[-1].removeprefix(NOTE)  # raised in a process that knew its place
    near, _ = _place(error)
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    text = _named(error)
    if isinstance(error, BaseExceptionGroup):
        text += ": " + "; ".join(_named(part) for part in error.exceptions)
    _, where = _place(error)
    return near, _shortened(text) + (f" ({where})" if where else "")


def leave_headline(error: BaseException) -> None:
    """Adds the headline to an exception as a note."""
    with suppress(Exception):  # a user's class may not accept notes
        error.add_note(NOTE + headline(error))


def headlined(method: Callable[P, T]) -> Callable[P, T]:
    """Makes a method of a Tune trainable add a headline to the exceptions that it raises.

    Only in a trial, whose failures are known by their text: a trial's constructor gets a storage
    argument and keeps it.
    """

    @wraps(method)
    def headlined_method(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            if (kwargs.get("storage") or getattr(args[0], "_storage", None)) is not None:
                leave_headline(error)
            raise

    return headlined_method


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception and its causes, the last one raised first."""
    seen = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _named(error: BaseException) -> str:
    kind = type(error)
    module = "" if kind.__module__ in ("builtins", "__main__") else kind.__module__ + "."
    try:
        text = str(error)
    except Exception:
        text = "its message cannot be shown"
    return f"{module}{kind.__qualname__}" + (f": {text}" if text else "")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 4] + " ..."


def _place(error: BaseException) -> tuple[int, str]:
    """Returns how near an error is to the user's code (see :func:`_nearness`), and its line."""
    best, where = -1, ""
    for frame, line in _frames(error.__traceback__):
        code = frame.f_code
        near = _nearness(code.co_filename)
        if near >= best:
            best, where = near, _where(code.co_filename, line, code.co_name)
    return best, where


def _where(file: str, line: int, function: str) -> str:
    return f"{Path(file).name}:{line}" + ("" if function == "<module>" else f", in {function}")


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _nearness(file: str) -> int:
    """Returns 2 for the user's own files, 1 for installed packages, 0 for hosts and Python."""
    installed = re.split(r"/(?:site|dist)-packages/", file)
    if len(installed) > 1:
        return 0 if installed[-1].split("/")[0] in HOSTS else 1
    python = file.startswith(("<frozen", _STANDARD)) or re.search(r"/lib/python3\.\d+/", file)
    return 0 if python or file.startswith(_OWN) or file.endswith(".pyx") else 2


# Exceptions known by their text -----------------------------------------------------------------

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
#: Ray's heading of a traceback, which may follow the name of its own exception on the same line.
_RAY = re.compile(r"^.*\bray::.*\(pid=\d+, ip=.*\)$", re.MULTILINE)
_CREATION = "The actor died because of an error raised in its creation task, "
_HEADING = "Traceback (most recent call last):"
_NEXT = re.compile(
    r"\n\n(?:During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception):\n\n"
)
_FRAME = re.compile(r'^  File "(.+)", line (\d+), in (.+)$')


def plain(text: str) -> str:
    """Removes Ray's wrapping, colours and rltune's notes from a traceback.

    Also removes the frames of hosts before those of the user's code.
    """
    text = _RAY.sub(_HEADING, _COLOUR.sub("", text)).replace(_CREATION, "").strip()
    lines: list[str] = []
    frames: list[str] | None = None  # of the current traceback
    for line in text[max(0, text.find(_HEADING)) :].splitlines():
        if frames is not None and line.startswith(" "):
            frames.append(line)
            continue
        if frames is not None and line == _HEADING:  # followed by the traceback of another process
            frames = []
            continue
        lines += _own_frames(frames or [])
        frames = [] if line == _HEADING else None
        if not line.startswith(NOTE):
            lines.append(line)
    return "\n".join([*lines, *_own_frames(frames or [])])


def _own_frames(lines: list[str]) -> list[str]:
    """Returns a traceback from the first frame of the user's code, or from its first frame."""
    frames = [(at, frame[1]) for at, line in enumerate(lines) if (frame := _FRAME.match(line))]
    first = next((at for at, file in frames if _nearness(file) == 2), frames and frames[0][0])
    return lines[first or 0 :]


def headline_of(text: str) -> str:
    """Returns the headline of an exception that is known by its text alone."""
    return _read_text(text)[1]


def _read_text(text: str) -> tuple[int, str]:
    notes = [line for line in text.splitlines() if line.startswith(NOTE)]
    if notes:
        return 2, notes[-1].removeprefix(NOTE)
    return max(map(_read, reversed(_NEXT.split(plain(text)))), key=lambda link: link[0])


def _read(link: str) -> tuple[int, str]:
    """Returns how near one exception of a chain is to the user's code, and its headline."""
    # The text after the last heading was raised in the innermost process.
    lines = link.rpartition(f"{_HEADING}\n")[2].splitlines()
    best, where = -1, ""
    for number, line in enumerate(lines):
        if frame := _FRAME.match(line):
            near = _nearness(frame[1])
            if near >= best:
                best, where = near, f" ({_where(frame[1], int(frame[2]), frame[3])})"
        elif where and line and not line.startswith(" "):
            return best, _shortened("\n".join(lines[number:])) + where
    return best, _shortened(lines[-1] if lines else "no traceback")
