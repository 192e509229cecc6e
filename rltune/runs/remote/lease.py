"""Who works on a run in an object store, which has no locks: an object that is written again.

The holder writes it every few seconds. Who wants it watches it for longer than that: what changes
has a holder, what does not change is a dead process's. No two clocks are compared.

It is no lock. A process that stands still for longer than ``STALE``, or cannot reach the store for
so long, loses the run to another one, and ends when it finds out; what it sends meanwhile is lost.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from rltune.errors import BadInput, MachineError
from rltune.runs.remote.store import Store, StoreFailed

log = logging.getLogger("rltune")

#: Where in a run the store keeps what is no file of it.
ROOM = ".store"
#: The object's name below the run, and the holder's copy in its own folder.
NAME, OWN = f"{ROOM}/lease", ".lease"
#: Seconds between two writes of the holder, and without one after which it counts as dead.
REFRESH, STALE = 10.0, 45.0


@dataclass(frozen=True)
class Holder:
    """Who works on a run.

    Attributes:
        id: of the holding, random.
        count: of its writes.
    """

    id: str
    host: str = ""
    pid: int = 0
    count: int = 0

    @classmethod
    def read(cls, text: bytes) -> Self:
        """The holder that a text describes; what is no description is one of nobody known."""
        with suppress(ValueError, TypeError):
            values = json.loads(text)
            return cls(str(values["id"]), str(values["host"])[:80], int(values["pid"]))
        return cls(text[:64].hex())


class Lease:
    """A run's lease, for the process that holds it or wants to.

    Args:
        folder: working copy of the run.

    Attributes:
        id: of the holding; the same for a process that continues where one before it was killed.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._own = folder / OWN
        self.id = _text(self._own) or uuid4().hex
        self._count = 0
        self._checked = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost: MachineError | None = None

    def acquire(self) -> None:
        """Takes the run, where no living process holds it.

        Raises:
            BadInput: one does.
        """
        while not self._store.create(NAME, self._text()):
            seen = self._read()
            if seen is None:
                continue
            if self._is_ours(seen):
                break
            self._outlive(seen)
            self._store.delete([NAME])
        self._own.write_text(self.id)
        self.check()
        self._thread = threading.Thread(target=self._refresh, name="lease", daemon=True)
        self._thread.start()

    def _outlive(self, seen: bytes) -> None:
        """Waits until a lease that is not written any more is a dead process's."""
        holder = Holder.read(seen)
        who = f"process {holder.pid} on {holder.host}"
        log.warning("%s: %s held it last; waiting whether it lives", self._store.url, who)
        until = time.monotonic() + STALE
        while time.monotonic() < until:
            time.sleep(1.0)
            if (now := self._read()) is None:
                return
            if now != seen:
                raise BadInput(
                    f"run {self._store.url} is in use by another rltune process ({who}). Wait for "
                    "it, or give this one another `name`."
                )

    def check(self, older_than: float = 0.0) -> None:
        """Checks that this process still holds the run.

        Args:
            older_than: seconds since the last check without which there is none.

        Raises:
            MachineError: another has taken it.
        """
        with self._lock:
            if self.lost is not None:
                raise self.lost
            if time.monotonic() - self._checked < older_than:
                return
            seen = self._read()
            if seen is None or not self._is_ours(seen):
                who = "it was removed" if seen is None else f"by {Holder.read(seen).host}"
                self.lost = MachineError(
                    f"run {self._store.url} was taken over meanwhile ({who}): this process had not "
                    f"been able to say for {STALE:g} s that it works on it. What it did since is "
                    "not kept"
                )
                raise self.lost
            self._checked = time.monotonic()

    def release(self) -> None:
        """Leaves the run to others."""
        self.stop()
        with suppress(MachineError, StoreFailed):
            self.check()
            self._store.delete([NAME])
            self._own.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stops writing it; it is left as a killed process leaves it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH):
            with suppress(MachineError, StoreFailed):
                self.check()
                self._store.write(NAME, self._text())

    def _read(self) -> bytes | None:
        try:
            return self._store.read(NAME)
        except FileNotFoundError:
            return None

    def _is_ours(self, seen: bytes) -> bool:
        return Holder.read(seen).id == self.id

    def _text(self) -> bytes:
        self._count += 1
        holder = Holder(self.id, socket.gethostname(), os.getpid(), self._count)
        return json.dumps(asdict(holder)).encode()


def is_unsent(store: Store, folder: Path) -> bool:
    """Whether a process here was killed, or its store failed, and nobody has taken over since."""
    own = _text(folder / OWN)
    if not own:
        return False
    with suppress(FileNotFoundError):
        return Holder.read(store.read(NAME)).id == own
    return False


def is_held(store: Store) -> bool:
    """Whether a process seems to work on a run, by this machine's clock."""
    age = store.seconds_since(NAME)
    return age is not None and age < STALE


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
