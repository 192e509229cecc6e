"""The working copy of a run: fetched for who reads it, mirrored for who works on it."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from rltune.errors import BadInput, MachineError
from rltune.runs.remote import lease as leases
from rltune.runs.remote import location
from rltune.runs.remote.fetch import Fetch
from rltune.runs.remote.lease import Lease
from rltune.runs.remote.mirror import Mirror
from rltune.runs.remote.store import Store, StoreFailed, is_plain, told
from rltune.runs.remote.tree import HEAD, MANIFEST_FILE, Known, stamp

#: The id of the lease of the sweep that a process trains for.
VARIABLE = "RLTUNE_LEASE"
#: Whether trials send their checkpoints themselves: on a cluster, where another machine may need
#: one at once. Elsewhere the sweep's own thread does, while they train.
SENDS = "RLTUNE_TRIALS_SEND"
#: Seconds between two looks at the store for somebody who follows a run.
LOOK_EVERY = 5.0
_FETCHING = ".fetching.lock"


class WorkingCopy:
    """A run in an object store, and the folder here that has what is needed of it.

    Args:
        path: the folder.
        url: of the run.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url
        self._lease: Lease | None = None
        self._mirror: Mirror | None = None
        self._looked = -math.inf

    @cached_property
    def store(self) -> Store:
        """Where the run lies."""
        return Store(self.url)

    # Reading -----------------------------------------------------------------------------------

    def fetch(self, only: Collection[str] | None = None) -> None:
        """Brings the records here up to date, and the heads of the checkpoints.

        Nothing is fetched where a process of this machine works on the run: its files are here.

        Args:
            only: the records that are wanted, of those at the top; None for all.

        Raises:
            BadInput: the run is damaged.
            MachineError: the store does not answer.
        """
        if self._mirror is not None or is_locked(self.path / ".lock"):
            return
        with told(self.url), self._alone(), self._writable():
            if leases.is_unsent(self.store, self.path):
                return
            Fetch(self.store, self.path).run(only)

    def refresh(self) -> None:
        """:meth:`fetch`, now and then: for somebody who follows a run."""
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            self.fetch()

    @property
    def is_held(self) -> bool:
        """Whether a process of any machine seems to work on the run."""
        with told(self.url):
            return leases.is_held(self.store)

    @property
    def is_unsent(self) -> bool:
        """Whether there is more here than in the store: from a process that could not send it."""
        with told(self.url):
            return self._mirror is None and leases.is_unsent(self.store, self.path)

    def exists(self) -> bool:
        """Whether the store has the run."""
        with told(self.url):
            return "run.json" in self.store.items(depth=1)

    def is_free(self) -> bool:
        """Whether nothing lies in the store that a new run of this URL would mix with."""
        with told(self.url):
            return all(name.startswith(f"{leases.ROOM}/") for name in self.store.items())

    def send(self, *names: str) -> None:
        """Sends records that a command has written which does not hold the run."""
        if self._mirror is None and not is_locked(self.path / ".lock"):
            with told(self.url):
                self.store.upload({name: self.path / name for name in names})

    def complete(self, folder: Path, names: Collection[str]) -> None:
        """Fetches files of a checkpoint that are not here. Those that the store lacks stay away."""
        missing = [name for name in names if is_plain(name) and not (folder / name).exists()]
        if not missing:
            return
        place = folder.relative_to(self.path).as_posix()
        there = self.store.items(place)
        found = [f"{place}/{name}" for name in missing if f"{place}/{name}" in there]
        Fetch(self.store, self.path).download(found)
        if self._mirror is not None and (at := stamp(folder / MANIFEST_FILE)) is not None:
            self._mirror.fetched(place, at)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except (StoreFailed, FileNotFoundError):
            raise
        except OSError as error:
            raise MachineError(
                f"working copy {self.path} cannot be written: {error.strerror or error}. "
                f"{location.VARIABLE} names another folder for all of them"
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps two processes from fetching into one folder at the same time."""
        make_private(self.path)
        try:
            with FileLock(self.path / _FETCHING, timeout=600):
                yield
        finally:
            if not (self.path / "run.json").exists():
                shutil.rmtree(self.path, ignore_errors=True)

    # Working -----------------------------------------------------------------------------------

    def make(self) -> None:
        """Makes the folder of a new run, without what an earlier one of its name has left."""
        if not is_locked(self.path / ".lock"):
            shutil.rmtree(self.path, ignore_errors=True)
        make_private(self.path.parent)
        self.path.mkdir(mode=0o700)

    def hold(self) -> None:
        """Takes the run for this process, whose folder here is locked, and starts to send.

        Raises:
            BadInput: another process works on it.
            MachineError: the store does not answer.
        """
        with told(self.url):
            unsent = leases.is_unsent(self.store, self.path)
            lease = Lease(self.store, self.path)
            lease.acquire()
            try:
                if not unsent:  # another machine may have worked on it since it was opened
                    Fetch(self.store, self.path).run()
                self._mirror = Mirror(self.store, lease, self.path, Known.read(self.path))
            except BaseException:
                lease.release()
                raise
        self._lease = lease
        os.environ[VARIABLE] = lease.id
        os.environ[location.VARIABLE] = str(location.root())

    def sync(self) -> None:
        """Has what is new sent, if it is due."""
        if self._mirror is not None:
            self._mirror.sync()

    def wait(self) -> None:
        """Waits until what is being sent is there."""
        if self._mirror is not None:
            self._mirror.wait()

    def flush(self) -> None:
        """Has all that is new sent, and waits for it."""
        if self._mirror is not None:
            self._mirror.flush()

    def written(self, folder: Path) -> None:
        """A trial has written a checkpoint; on a cluster, it has sent it as well."""
        self.complete(folder, HEAD)
        if self._mirror is not None and SENDS in os.environ:
            at = stamp(folder / MANIFEST_FILE)
            assert at is not None
            self._mirror.fetched(folder.relative_to(self.path).as_posix(), at)

    def stripped(self, folder: Path, keep: Collection[str]) -> None:
        """A checkpoint has lost its files but for some."""
        if self._mirror is not None:
            self._mirror.stripped(folder.relative_to(self.path).as_posix(), tuple(keep))

    def release(self) -> None:
        """Sends what is new, and leaves the run to others.

        Where that fails the folder here has more than the store, and the run stays this machine's
        until another takes it over.
        """
        mirror, lease = self._mirror, self._lease
        if mirror is None or lease is None:
            return
        os.environ.pop(VARIABLE, None)
        try:
            mirror.flush()
            mirror.learn_tags()
            lease.release()
        finally:
            self._mirror = self._lease = None
            mirror.close()
            lease.stop()

    def discard(self) -> None:
        """Removes the run, here and in the store."""
        if self._mirror is not None and self._lease is not None:
            self._mirror.close()
            self._lease.stop()
            self._mirror = self._lease = None
        with suppress(StoreFailed):
            self.store.delete(self.store.items())
        shutil.rmtree(self.path, ignore_errors=True)


_copies: dict[Path, WorkingCopy] = {}


def copy_at(path: Path) -> WorkingCopy | None:
    """The working copy that a folder is; one object for each in a process.

    Args:
        path: absolute and resolved.
    """
    url = location.url_of(path)
    return None if url is None else _copies.setdefault(path, WorkingCopy(path, url))


def copy_of(checkpoint: Path) -> WorkingCopy | None:
    """The working copy that a checkpoint's folder lies in."""
    folder = checkpoint.absolute()
    if location.url_of(folder) is None:
        return None
    above = 2 if folder.parent.name == "best" else 4
    return copy_at(folder.parents[above - 1]) if len(folder.parents) >= above else None


def file_here(file: str | Path) -> Path:
    """A file of a run, fetched where it is named by a URL, as ``s3://b/runs/a/best/preset.toml``.

    Raises:
        BadInput: the URL is none of a store, or leads to no run.
        MachineError: the store does not answer.
    """
    path = location.local(file)
    if not location.is_url(file):
        return path
    for above in path.parents:
        copy = copy_at(above.resolve())
        if copy is not None and copy.exists():
            copy.fetch()
            return path
    raise BadInput(f"{file}: there is no such run")


def complete(checkpoint: Path, names: Collection[str]) -> None:
    """Sees to it that files of a checkpoint are here, where the store has them.

    A process that trains on another machine than its sweep's also replaces what is here of an
    earlier checkpoint of the same number.

    Raises:
        StoreFailed: the store does not answer.
    """
    copy = copy_of(checkpoint)
    if copy is None:
        return
    if is_elsewhere(copy):
        _drop_other(copy, checkpoint)
    copy.complete(checkpoint.absolute(), names)


def wrote(checkpoint: Path) -> None:
    """Sends a checkpoint that this process' trial has written, on a cluster.

    Raises:
        StoreFailed: the store does not take it.
    """
    copy = copy_of(checkpoint)
    if copy is None or not (SENDS in os.environ or is_elsewhere(copy)):
        return
    place = checkpoint.absolute().relative_to(copy.path).as_posix()
    files = {
        f"{place}/{path.relative_to(checkpoint).as_posix()}": path
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file()
    }
    last = f"{place}/{MANIFEST_FILE}"
    copy.store.upload({name: path for name, path in files.items() if name != last})
    copy.store.upload({last: files[last]})
    if not is_elsewhere(copy):
        return
    for old in sorted(checkpoint.parent.iterdir())[:-KEPT_ELSEWHERE]:
        shutil.rmtree(old, ignore_errors=True)


#: Checkpoints of a trial that are kept where it trained, on another machine than its sweep's.
KEPT_ELSEWHERE = 2


def variables() -> dict[str, str]:
    """Variables with which processes on other machines know the run that they train for."""
    names = (VARIABLE, SENDS, location.VARIABLE)
    return {name: os.environ[name] for name in names if name in os.environ}


def stripped(checkpoint: Path, keep: Collection[str]) -> None:
    """A checkpoint has lost its files but for some."""
    if (copy := copy_of(checkpoint)) is not None:
        copy.stripped(checkpoint.absolute(), keep)


def is_elsewhere(copy: WorkingCopy) -> bool:
    """Whether this process trains for a sweep whose files are on another machine."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return False
    try:
        return (copy.path / leases.OWN).read_text() != wanted
    except OSError:
        return True


def _drop_other(copy: WorkingCopy, checkpoint: Path) -> None:
    place = checkpoint.absolute().relative_to(copy.path).as_posix()
    with suppress(FileNotFoundError):
        if (checkpoint / MANIFEST_FILE).read_bytes() != copy.store.read(f"{place}/{MANIFEST_FILE}"):
            shutil.rmtree(checkpoint)


def make_private(path: Path) -> None:
    """Makes a folder below that of all working copies, which nobody else may look into."""
    location.root().mkdir(parents=True, exist_ok=True, mode=0o700)
    path.mkdir(parents=True, exist_ok=True)


def is_locked(file: Path) -> bool:
    """Whether a process of this machine holds a lock file."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        handle = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
