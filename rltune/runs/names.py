"""Names of runs and trials."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from rltune.errors import BadInput
from rltune.runs.remote import location
from rltune.runs.remote.store import Store, told

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")


@lru_cache(1 << 16)
def number_of(trial: str) -> int:
    """The number of a trial ``t00``, ``t01`` ... ``t100``, by which trials are ordered."""
    digits = trial[1:]
    return int(digits) if digits.isdecimal() else sys.maxsize


def check_name(name: str) -> None:
    """Raises BadInput for a run name that is no plain folder name."""
    if not NAME.fullmatch(name):
        raise BadInput(
            f"run name {name[:100]!r}: use 1 to 80 letters, digits, '.', '_' or '-', "
            "not starting with '.' or '-'"
        )


def default_name(algo: str, env: str, storage: str) -> str:
    """``<algo>-<env>-<UTC time>``, with a number behind it where that run exists.

    Args:
        storage: a path, or a URL.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{algo}-{env}")[:55]
    name = f"{plain}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if location.is_url(storage):
        with told(storage):
            there = Store(storage).folders()
    else:
        there = [path.name for path in Path(storage).glob(f"{name}*")]
    taken = sum(one.startswith(name) for one in there)
    return f"{name}-{taken + 1}" if taken else name
