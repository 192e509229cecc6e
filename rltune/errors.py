"""Errors that rltune raises; the command line prints their message and exits with their code."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

log = logging.getLogger("rltune")


class RltuneError(Exception):
    """Base class of rltune's errors.

    >>> try:
    ...     raise unknown("scheduler", "pbtt", ["asha", "pb2", "pbt"])
    ... except RltuneError as error:
    ...     print(error, error.exit_code)
    Unknown scheduler 'pbtt'. Did you mean 'pbt'? 2

    Attributes:
        exit_code: exit code of the command line.
    """

    exit_code = 1


class BadInput(RltuneError):
    """The request is invalid. Raised before anything starts.

    Attributes:
        problems: every problem, each with its place and its fix.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class NothingUsable(RltuneError):
    """The sweep ended without a policy, or without one whose score is finite.

    Attributes:
        unscored: episodes that could not be scored, as in summary.json.
    """

    exit_code = 1

    def __init__(self, message: str, unscored: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.unscored = list(unscored)


class TrialsFailed(RltuneError):
    """The sweep ended with a usable policy, but some trials failed."""

    exit_code = 1


class MachineError(RltuneError):
    """The machine or the storage failed; the request itself is valid."""

    exit_code = 3


class Interrupted(RltuneError):
    """A signal stopped the run, which can be resumed."""

    exit_code = 130


class AuditError(RltuneError):
    """A setting acts at another value than the requested one."""

    exit_code = 1


class EnvironmentFailed(RltuneError):
    """An environment keeps raising exceptions."""

    exit_code = 1


class EnvironmentExit(RltuneError):
    """An environment tried to end its process: ``sys.exit``, KeyboardInterrupt."""

    exit_code = 1


class ProcessEnded(RltuneError):
    """A process that runs an environment hung, crashed, or was ended by the environment.

    Attributes:
        how: how the process ended: "by SIGSEGV", "with exit code 1".
        report: where it hung or crashed, see rltune.processes.watchdog.collect; empty if
            unknown.
    """

    exit_code = 1

    def __init__(self, how: str, report: str) -> None:
        super().__init__(report or f"the environment ended its process {how}")
        self.how = how
        self.report = report


class BadCheckpoint(RltuneError):
    """A checkpoint is incomplete, damaged, of another algorithm or of a newer format."""

    exit_code = 1


def described(error: BaseException) -> str:
    """Formats an error as ``ValueError: message``; an EnvironmentExit names its cause already."""
    return str(error) if isinstance(error, EnvironmentExit) else f"{type(error).__name__}: {error}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns `` Did you mean 'x'?`` with the nearest known name, or an empty string."""
    near = nearest(word, known)
    return f" Did you mean {near!r}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known name that a word is nearest to, in any case and order of its parts.

    >>> nearest("INT-LOG", ["log", "one_minus_log", "log_int"])
    'log_int'
    """
    names, lowered = {name.lower(): name for name in known}, str(word).lower()
    turned = (name for name in names if _parts(name) == _parts(lowered))
    near = next(turned, None) or next(iter(get_close_matches(lowered, names, 1, 0.6)), None)
    return None if near is None else names[near]


def _parts(name: str) -> list[str]:
    return sorted(re.split(r"[\W_]+", name))


def keyword(**options: Any) -> str:
    """Options and the values to give them, as a Python caller writes them: ```steps=100```.

    The command line shows what stands in backquotes in its own spelling.
    """
    return ", ".join(f"`{name}={value!r}`" for name, value in options.items())


def unknown(kind: str, word: str, known: Iterable[str], more: str = "") -> BadInput:
    """Builds the error for a name that is not in a table, with the nearest known name."""
    known = sorted(known)
    hint = did_you_mean(word, known) or f" Known: {', '.join(known)}."
    return BadInput(f"Unknown {kind} {word!r}.{hint}{more}")


@cache
def warn_once(text: str) -> None:
    """Logs a warning once per process."""
    log.warning(text)
