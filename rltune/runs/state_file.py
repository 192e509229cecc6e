"""The state of a running sweep on disk: whole or not at all, whatever moment a crash picks.

A state is written whole once, and then what changes is added to a journal, so that saving costs
what changed. All of it is plain JSON with checksums: nothing in it is code.

Each line of the journal starts with a checksum over the line and the checksum before it, from the
one in the head of the whole state on: a line counts for the state that it was written after, and
for no other. Once the journal has outgrown the state, the state is written whole again. The one
before it is kept with its journal, which lead to the same state.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rltune.errors import BadInput
from rltune.runs.json_text import dumps, loads

log = logging.getLogger("rltune")

#: The newest whole state in a run folder, and the one before it.
STATE, PREVIOUS = "state.json", "state.previous.json"
#: What changed after each of them.
JOURNAL, PREVIOUS_JOURNAL = "state.jsonl", "state.previous.jsonl"
#: Raised where an older rltune would misread a state. The first one had no journal.
SCHEMA = 2
#: Bytes that a journal may have before the state is written whole again, at least.
ROOM = 1 << 20
_MISSING = object()


class StateFile:
    """Keeps a state of a folder on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state: Mapping[str, Any] | None = None
        self._chain = ""
        #: Bytes that the journal may still grow by.
        self._room = 0

    def write(self, state: Mapping[str, Any]) -> None:
        """Makes a state the newest. A crash at any moment leaves this one or the one before.

        Args:
            state: a tree of mappings and sequences. None of them may change afterwards: what is
                the same object as in the state before is taken for the same.
        """
        before, self._state = self._state, None  # what fails is written whole the next time
        if before is None or not before.keys() <= state.keys():
            self._write_whole(state, None)
            self._write_whole(state, self._chain)  # so that one may be damaged
        elif changes := [[path, value] for path, value in _changes(before, state)]:
            if self._room < 0:
                self._write_whole(before, self._chain)
            self._append(dumps({"changes": changes}))
        self._state = state

    def _write_whole(self, state: Mapping[str, Any], chain: str | None) -> None:
        body = dumps(state)
        self._chain = _write(self.folder, body, chain)
        self._room = max(ROOM, len(body))

    def _append(self, text: str) -> None:
        path = self.folder / JOURNAL
        is_new = not path.exists()
        self._chain = _linked(self._chain, text)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{self._chain} {text}\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_directory(self.folder)
        self._room -= len(text)


def write(folder: Path, state: Mapping[str, Any]) -> None:
    """Makes a state the newest, as :meth:`StateFile.write` does, and writes it whole."""
    _write(folder, dumps(state), None)


def modified(folder: Path) -> int:
    """When the state was last written, in nanoseconds; 0 where it never was."""
    paths = (folder / STATE, folder / JOURNAL)
    return max((path.stat().st_mtime_ns for path in paths if path.exists()), default=0)


def _write(folder: Path, body: str, chain: str | None) -> str:
    """Writes a state whole.

    Args:
        chain: checksum that its journal continues from; None for the body's own.

    Returns:
        That checksum.
    """
    checksum = hashlib.sha256(body.encode()).hexdigest()
    chain = chain or checksum
    head = {"schema": SCHEMA, "sha256": checksum, "chain": chain}
    new = folder / f".{STATE}.new"
    with new.open("w", encoding="utf-8") as file:
        file.write(f"{json.dumps(head)}\n{body}\n")
        file.flush()
        os.fsync(file.fileno())
    # The journal first: the one beside a state never is the one before it.
    for name, before in ((JOURNAL, PREVIOUS_JOURNAL), (STATE, PREVIOUS)):
        if (folder / name).exists():
            (folder / name).replace(folder / before)
    new.replace(folder / STATE)
    _sync_directory(folder)
    return chain


def _sync_directory(folder: Path) -> None:
    """Without this a power cut can undo a rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _linked(chain: str, text: str) -> str:
    """The checksum of a line of the journal."""
    return hashlib.sha256(f"{chain} {text}".encode()).hexdigest()


# Changes ----------------------------------------------------------------------------------------


def _changes(old: Any, new: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Places in a tree that have changed, as paths, with their new values."""
    parts = _parts(old, new)
    if parts is None:
        if new != old:
            yield path, new
        return
    for key, before, value in parts:
        if before is _MISSING:
            yield (*path, key), value
        elif before is not value:
            yield from _changes(before, value, (*path, key))


def _parts(old: Any, new: Any) -> Iterator[tuple[Any, Any, Any]] | None:
    """What a value consists of that may have changed: keys, with what was and what is there.

    None where the value is replaced as a whole.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() <= new.keys():
        return ((str(key), old.get(key, _MISSING), value) for key, value in new.items())
    if not (_is_list(old) and _is_list(new) and 0 < len(old) <= len(new)):
        return None
    before = itertools.chain(old, itertools.repeat(_MISSING))
    rows = ((number, *pair) for number, pair in enumerate(zip(before, new, strict=False)))
    if isinstance(old[0], Mapping):  # a table, whose rows keep their places
        return rows
    if old == new[: len(old)]:
        return itertools.islice(rows, len(old), None)
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _apply(state: dict[str, Any], changes: Sequence[tuple[Sequence[Any], Any]]) -> None:
    for (*above, last), value in changes:
        place: Any = state
        for key in above:
            place = place[key]
        if isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value


# Reading ----------------------------------------------------------------------------------------


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
            state, chain = _parse(path.read_text(encoding="utf-8"))
            chain = _replay(folder / PREVIOUS_JOURNAL, state, chain)
            _replay(folder / JOURNAL, state, chain, warns=True)
            return state
        except (ValueError, LookupError, TypeError) as error:
            damaged.append(path)
            log.warning("%s is damaged (%s) and is left out", path, error)
    if damaged:
        raise BadInput(f"no whole state is left in {folder}: {', '.join(p.name for p in damaged)}")
    return None


def _replay(path: Path, state: dict[str, Any], chain: str, warns: bool = False) -> str:
    """Makes the changes that a journal holds of a state.

    A crash cuts the last line short, which then was never saved.

    Args:
        warns: whether a whole line that does not follow from the state is damaged; else it may be
            one before the state was written.

    Returns:
        The checksum that the next line follows.
    """
    if not path.exists():
        return chain
    text = path.read_bytes().decode("utf-8", errors="replace")
    for number, line in enumerate(text.split("\n")[:-1], 1):
        checksum, _, body = line.partition(" ")
        if checksum == _linked(chain, body):
            _apply(state, loads(body)["changes"])
            chain = checksum
        elif warns:
            log.warning("%s:%d is damaged: it is left out, and what follows it", path, number)
            break
    return chain


def _parse(text: str) -> tuple[dict[str, Any], str]:
    """A state, and the checksum that its journal continues from."""
    head, _, body = text.partition("\n")
    header = json.loads(head)
    if header["schema"] not in (1, SCHEMA):
        raise ValueError(f"its schema is {header['schema']}, this rltune reads {SCHEMA}")
    body = body.removesuffix("\n")
    checksum = hashlib.sha256(body.encode()).hexdigest()
    if checksum != header["sha256"]:
        raise ValueError("its checksum does not fit")
    state: dict[str, Any] = loads(body)
    return state, header.get("chain", checksum)
