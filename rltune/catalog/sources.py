"""Files that a run's own environment or function is in: whether they are what they were."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from rltune.envs import places
from rltune.spec import RunSpec

#: Characters of a hash that are kept.
LENGTH = 12


def digests(name: str) -> dict[str, str]:
    """The hash of the user's file in which ``module:name`` or ``file.py:name`` is, by its name.

    Empty for what is in an installed package, or a module of one, which has a version instead.
    """
    path = _file(places.split(name)[0])
    if path is None or not path.is_file():
        return {}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:LENGTH]}


def edited(spec: RunSpec) -> list[str]:
    """Files that have changed since a run was asked for."""
    now = {name: one for single in spec.singles for name, one in digests(single.env_id).items()}
    return [name for name, one in now.items() if spec.versions.get(name, one) != one]


def warning(spec: RunSpec) -> str:
    """What a person should know before more is trained or scored; empty where nothing is."""
    files = edited(spec)
    if not files:
        return ""
    verb = "has" if len(files) == 1 else "have"
    return (
        f"{' and '.join(files)} {verb} changed since the run started: what it trained and scored "
        "then may not compare with what follows"
    )


def _file(place: str) -> Path | None:
    if places.is_file(place):
        return Path(place)
    if not place.isidentifier():  # of a package: looking for it would import the package
        return None
    try:
        found = find_spec(place)
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None or "site-packages" in found.origin:
        return None
    return Path(found.origin)
