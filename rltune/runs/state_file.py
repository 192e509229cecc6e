"""The state of a running sweep on disk: whole or not at all, and the one before it kept.

Plain JSON with a checksum: nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rltune.errors import BadInput
from rltune.runs.json_text import dumps, loads

log = logging.getLogger("rltune")

#: The newest state in a run folder, and the one before it.
STATE, PREVIOUS = "state.json", "state.previous.json"
SCHEMA = 1


def write(folder: Path, state: Mapping[str, Any]) -> None:
    """Makes a state the newest. A crash at any moment leaves this one or the one before."""
    body = dumps(state)
    checksum = hashlib.sha256(body.encode()).hexdigest()
    new = folder / f".{STATE}.new"
    with new.open("w", encoding="utf-8") as file:
        file.write(f'{{"schema": {SCHEMA}, "sha256": "{checksum}"}}\n{body}\n')
        file.flush()
        os.fsync(file.fileno())
    newest = folder / STATE
    if newest.exists():
        newest.replace(folder / PREVIOUS)
    new.replace(newest)
    _sync_directory(folder)


def _sync_directory(folder: Path) -> None:
    """Without this a power cut can undo a rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(folder: Path) -> dict[str, Any] | None:
    """The newest state that is whole; None where none was written.

    A damaged file is named in a warning, and the one before it is taken.

    Raises:
        BadInput: there are files, and none of them is whole.
    """
    damaged = []
    for name in (STATE, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            return _parse(path.read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError) as error:
            damaged.append(path)
            log.warning("%s is damaged (%s) and is left out", path, error)
    if damaged:
        raise BadInput(f"no whole state is left in {folder}: {', '.join(p.name for p in damaged)}")
    return None


def _parse(text: str) -> dict[str, Any]:
    head, _, body = text.partition("\n")
    header = json.loads(head)
    if header["schema"] != SCHEMA:
        raise ValueError(f"its schema is {header['schema']}, this rltune reads {SCHEMA}")
    body = body.removesuffix("\n")
    if hashlib.sha256(body.encode()).hexdigest() != header["sha256"]:
        raise ValueError("its checksum does not fit")
    state: dict[str, Any] = loads(body)
    return state
