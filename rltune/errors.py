"""The errors rltune raises on purpose; the command line gives each a message and an exit code."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

log = logging.getLogger("rltune")


class RltuneError(Exception):
    """Base of all errors below.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1


class BadInput(RltuneError):
    """What was asked for cannot be right. Raised before anything starts.

    Attributes:
        problems: every problem found, each with its place and how to mend it.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class NothingUsable(RltuneError):
    """The sweep ended, but no trial left a policy behind, or none whose score is finite.

    Attributes:
        unscored: what was tried to be scored, as summary.json holds it.
    """

    exit_code = 1

    def __init__(self, message: str, unscored: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.unscored = list(unscored)


class TrialsFailed(RltuneError):
    """The sweep ended with a usable policy, but some trials failed."""

    exit_code = 1


class MachineError(RltuneError):
    """The machine or the storage failed: nothing about the request is wrong."""

    exit_code = 3


class Interrupted(RltuneError):
    """Stopped by a signal. The run can be resumed."""

    exit_code = 130


class AuditError(RltuneError):
    """A setting acts at another value than was asked for."""

    exit_code = 1


class EnvironmentFailed(RltuneError):
    """An environment raises again and again."""

    exit_code = 1


class EnvironmentExit(RltuneError):
    """An environment raised what ends a process: ``sys.exit``, KeyboardInterrupt."""

    exit_code = 1


class ProcessEnded(RltuneError):
    """A process that other people's code ran in hung, crashed, or was ended by that code.

    Attributes:
        how: "by SIGSEGV", "with exit code 1".
        report: where it hung or crashed, see rltune.processes.watchdog.collect; empty where
            nothing is known.
    """

    exit_code = 1

    def __init__(self, how: str, report: str) -> None:
        super().__init__(report or f"the environment ended its process {how}")
        self.how = how
        self.report = report


class BadCheckpoint(RltuneError):
    """A checkpoint is incomplete, damaged, another algorithm's or of a newer format."""

    exit_code = 1


def described(error: BaseException) -> str:
    """``ValueError: what it says``; an EnvironmentExit says whose doing it was by itself."""
    return str(error) if isinstance(error, EnvironmentExit) else f"{type(error).__name__}: {error}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the nearest known name, or an empty string."""
    known = list(known)
    lowered = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return f" Did you mean {lowered[near[0]]!r}?" if near else ""


def unknown(kind: str, word: str, known: Iterable[str], more: str = "") -> BadInput:
    """The one wording for a name that is not in a table."""
    known = sorted(known)
    hint = did_you_mean(word, known) or f" Known: {', '.join(known)}."
    return BadInput(f"Unknown {kind} {word!r}.{hint}{more}")


@cache
def warn_once(text: str) -> None:
    """Logs a warning, the first time in this process that there is reason to."""
    log.warning(text)
