"""Sends what a sweep writes into its working copy, in a thread of its own.

What is sent at a time is the folder as it is between two steps of the sweep: the same as a crash at
that moment would leave, and so as good to resume from. Checkpoints go first, then one object with
what was added to every record (see :mod:`rltune.runs.remote.log`), which makes it count; what
nothing speaks of any more is removed last.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rltune.runs.remote import log as store_log
from rltune.runs.remote.lease import REFRESH, Lease
from rltune.runs.remote.log import LOG, Piece
from rltune.runs.remote.store import Store, StoreFailed
from rltune.runs.remote.tree import (
    MANIFEST_FILE,
    Known,
    Stamp,
    checkpoint_folders,
    grows,
    is_whole,
    records,
    stamp,
)

logger = logging.getLogger("rltune")

#: Seconds between two times that something is sent, at least.
INTERVAL = 10.0
#: Bytes in the log up to which records are not sent whole again, at least.
ROOM = 1 << 18
#: Seconds between one try and the next, after a fault that may pass.
WAITS = (1.0, 5.0, 15.0, 30.0)
#: Objects that a store removes in one request.
AT_ONCE = 1_000
#: Records that say that a run has ended, which come last.
ENDS = ("summary.json",)
#: Links to files of checkpoints that are being sent: what removes them meanwhile does no harm.
_SENDING = ".sending"


@dataclass
class _Held:
    """A record as it was last looked at.

    Attributes:
        crc: CRC-32 of it.
        content: of one that does not grow.
    """

    stamp: Stamp
    crc: int
    content: bytes | None


@dataclass
class _Parcel:
    """What is sent at a time.

    Attributes:
        whole: whether records are sent whole, and the log is emptied.
        checkpoints: new ones, their files by name, and the stamps of their manifests.
        gone: checkpoints that are to be removed, and what is kept of each.
    """

    whole: bool
    pieces: list[Piece] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    checkpoints: dict[str, Stamp] = field(default_factory=dict)
    gone: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.pieces or self.files or self.gone or self.whole)


class Mirror:
    """Keeps a run in a store up to date with a working copy that this process writes.

    Args:
        known: what is in the store already.
    """

    def __init__(self, store: Store, lease: Lease, root: Path, known: Known) -> None:
        self._store = store
        self._lease = lease
        self._root = root
        self._known = known
        self._held: dict[str, _Held] = {}
        #: Records that the store does not have whole, and objects of its log.
        self._behind: set[str] = set()
        self._log = sorted(
            n for name in store.items(LOG) if (n := store_log.number_of(name)) is not None
        )
        #: Of the last object of the log. No number is used twice, also by another process.
        self._number = max([int(time.time()), *self._log])
        self._sent_whole = self._in_log = 0
        #: Checkpoints that have lost files, what they have kept, and those that the store has not.
        self._kept: dict[str, tuple[str, ...]] = {}
        self._stripped: dict[str, tuple[str, ...]] = {}
        self._adopt()
        self._parcel: _Parcel | None = None
        self._work = threading.Condition()
        self._ended = False
        self._next = 0.0
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def _adopt(self) -> None:
        """Takes records for sent that are as they were fetched, or last sent."""
        for name, at in records(self._root):
            sent = self._known.files.get(name)
            if sent is not None and sent[0] == at:
                self._held[name] = self._looked_at(name, at)
                if sent[2] or self._log:
                    self._behind.add(name)
        self._behind |= self._known.files.keys() - self._held.keys()

    # What is new -------------------------------------------------------------------------------

    def sync(self) -> None:
        """Has what is new sent, if it is due. Takes no time but for a look at the folder.

        Raises:
            StoreFailed: nothing could be sent for minutes.
            MachineError: another process has taken the run.
        """
        with self._work:
            self._raise_failure()
            if self._parcel is not None or time.monotonic() < self._next:
                return
            self._send(whole=self._in_log > max(ROOM, self._sent_whole))

    def wait(self) -> None:
        """Waits until what is being sent is there. Raises as :meth:`sync`."""
        with self._work:
            self._wait()

    def flush(self) -> None:
        """Sends all that is new, records whole, and waits for it. Raises as :meth:`sync`."""
        with self._work:
            self._wait()
            self._send(whole=True)
            self._wait()

    def close(self) -> None:
        """Ends the thread, which finishes what it is sending, without many more tries."""
        with self._work:
            self._ended = True
            self._work.notify_all()
        self._thread.join()
        shutil.rmtree(self._root / _SENDING, ignore_errors=True)

    def learn_tags(self) -> None:
        """Asks for the tags of what was sent, so that nothing of it is fetched again."""
        known, items = self._known, self._store.items()
        for name, (at, _, logged) in known.files.items():
            if name in items:
                known.files[name] = at, items[name].tag, logged
        for name, (at, _) in known.checkpoints.items():
            if (manifest := f"{name}/{MANIFEST_FILE}") in items:
                known.checkpoints[name] = at, items[manifest].tag
        known.write(self._root)

    def stripped(self, name: str, keep: tuple[str, ...]) -> None:
        """A checkpoint has lost its files but for some."""
        self._kept[name] = keep
        if name in self._known.checkpoints:
            self._stripped[name] = keep

    def fetched(self, name: str, at: Stamp) -> None:
        """A checkpoint, which a trial has sent, is here, in part at least."""
        self._known.checkpoints[name] = at, ""

    def _send(self, whole: bool) -> None:
        self._next = time.monotonic() + INTERVAL
        parcel = self._packed(whole)
        if not parcel.is_empty:
            self._parcel = parcel
            self._work.notify_all()

    def _wait(self) -> None:
        while self._parcel is not None and self._failure is None:
            self._work.wait()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _packed(self, whole: bool) -> _Parcel:
        parcel = _Parcel(whole, list(self._pieces()))
        self._behind |= {piece.name for piece in parcel.pieces}
        self._take_checkpoints(parcel)
        return parcel

    def _pieces(self) -> Iterator[Piece]:
        seen = set()
        for name, at in records(self._root):
            seen.add(name)
            before = self._held.get(name)
            if before is None or before.stamp != at:
                yield self._piece(name, at, before)
        for name in self._held.keys() - seen:
            del self._held[name]
            yield Piece(name, -1, 0)

    def _piece(self, name: str, at: Stamp, before: _Held | None) -> Piece:
        """What is new of a record."""
        if before is None or not grows(name) or not _is_longer(before.stamp, at):
            self._held[name] = held = self._looked_at(name, at)
            content = held.content
            return Piece(name, 0, 0, self._bytes(name, 0, at[0]) if content is None else content)
        place = before.stamp[0]
        content = self._bytes(name, place, at[0] - place)
        self._held[name] = _Held(at, zlib.crc32(content, before.crc), None)
        return Piece(name, place, before.crc, content)

    def _looked_at(self, name: str, at: Stamp) -> _Held:
        content = self._bytes(name, 0, at[0])
        return _Held(at, zlib.crc32(content), None if grows(name) else content)

    def _bytes(self, name: str, place: int, size: int) -> bytes:
        with (self._root / name).open("rb") as file:
            file.seek(place)
            return file.read(size)

    def _take_checkpoints(self, parcel: _Parcel) -> None:
        there = set(checkpoint_folders(self._root))
        parcel.gone = dict.fromkeys(self._known.checkpoints.keys() - there, ())
        parcel.gone |= self._stripped
        self._stripped = {}
        for name in sorted(there):
            at = stamp(self._root / name / MANIFEST_FILE)
            sent = self._known.checkpoints.get(name)
            is_new = at is not None and (sent is None or sent[0] != at)
            if at is not None and is_new and is_whole(self._root / name, self._kept.get(name)):
                parcel.checkpoints[name] = at
                parcel.files |= self._linked(name)

    def _linked(self, name: str) -> dict[str, Path]:
        """The files of a checkpoint, by links that outlive them."""
        place = self._root / _SENDING / name
        shutil.rmtree(place, ignore_errors=True)
        found = {}
        for path in sorted((self._root / name).rglob("*")):
            if path.is_file() and not path.is_symlink():
                inside = path.relative_to(self._root / name)
                (link := place / inside).parent.mkdir(parents=True, exist_ok=True)
                _link(path, link)
                found[f"{name}/{inside.as_posix()}"] = link
        return found

    # Sending -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._work:
                while self._parcel is None and not self._ended:
                    self._work.wait()
                if (parcel := self._parcel) is None:
                    return
            failure = None
            try:
                self._deliver(parcel)
            except Exception as error:
                failure = error
            with self._work:
                self._failure, self._parcel = failure, None
                self._work.notify_all()
                if failure is not None:
                    return

    def _deliver(self, parcel: _Parcel) -> None:
        """Sends it, in an order of which every part leaves a run that can be resumed."""
        self._patiently(lambda: self._lease.check(older_than=2 * REFRESH))
        manifests = {f"{name}/{MANIFEST_FILE}" for name in parcel.checkpoints}
        self._upload({n: path for n, path in parcel.files.items() if n not in manifests})
        self._upload({n: path for n, path in parcel.files.items() if n in manifests})
        if parcel.pieces:
            self._add_to_log(parcel.pieces)
        if parcel.whole:
            self._send_whole()
        for name, keep in parcel.gone.items():
            self._remove(name, keep)
        shutil.rmtree(self._root / _SENDING, ignore_errors=True)
        self._known.checkpoints |= {name: (at, "") for name, at in parcel.checkpoints.items()}
        self._known.files = {
            name: (held.stamp, "", name in self._behind) for name, held in self._held.items()
        }
        self._known.write(self._root)

    def _upload(self, files: dict[str, Path]) -> None:
        if files:
            self._patiently(lambda: self._store.upload(files))

    def _add_to_log(self, pieces: list[Piece]) -> None:
        self._number += 1
        name, content = store_log.name_of(self._number), store_log.packed(pieces)
        self._patiently(lambda: self._store.write(name, content))
        self._log.append(self._number)
        self._in_log += len(content)

    def _send_whole(self) -> None:
        """Sends records whole that the log has changed, then removes the log, the oldest first."""
        contents: dict[str, bytes] = {}
        removed = []
        for name in self._behind:
            held = self._held.get(name)
            if held is None:
                removed.append(name)
                continue
            content = held.content
            if content is None:
                now = stamp(self._root / name)
                if now is None or now[2] != held.stamp[2]:
                    return  # written again meanwhile: the log has what it was
                content = self._bytes(name, 0, held.stamp[0])
            contents[name] = content
        last = {name: contents.pop(name) for name in ENDS if name in contents}
        for some in (contents, last):
            if some:
                self._patiently(partial(self._store.write_all, some))
        self._patiently(lambda: self._store.delete(removed))
        names = [store_log.name_of(number) for number in self._log]
        for place in range(0, len(names), AT_ONCE):  # what is left must be the newest
            self._patiently(partial(self._store.delete, names[place : place + AT_ONCE]))
        self._sent_whole = sum(held.stamp[0] for held in self._held.values())
        self._log, self._in_log, self._behind = [], 0, set()

    def _remove(self, name: str, keep: tuple[str, ...]) -> None:
        def remove() -> None:
            inside = {one: one.removeprefix(f"{name}/") for one in self._store.items(name)}
            self._store.delete(one for one in inside if inside[one].partition("/")[0] not in keep)

        self._patiently(remove)
        if not keep:
            self._known.checkpoints.pop(name, None)

    def _patiently(self, call: Callable[[], None]) -> None:
        for wait in WAITS:
            try:
                return call()
            except StoreFailed as error:
                logger.warning("%s: %s; trying again in %g s", self._store.url, error, wait)
            if self._pause(wait):
                break
        return call()

    def _pause(self, seconds: float) -> bool:
        """Waits. Returns whether the sweep has ended meanwhile."""
        with self._work:
            self._work.wait_for(lambda: self._ended, seconds)
            return self._ended


def _is_longer(before: Stamp, now: Stamp) -> bool:
    """Whether a file that grows is still the same one."""
    return before[2] == now[2] and before[0] <= now[0]


def _link(path: Path, link: Path) -> None:
    try:
        os.link(path, link)
    except OSError:
        shutil.copy2(path, link)
