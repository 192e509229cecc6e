"""An object store, through fsspec. Its errors are told in words of the user's."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from rltune.errors import BadInput, MachineError
from rltune.runs.remote.location import SCHEMES

#: Requests at a time.
AT_A_TIME = 16
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")
_NO_CREDENTIALS = re.compile(r"credential|NoAuth|anonymous", re.IGNORECASE)


class StoreFailed(OSError):
    """The store did not do what it was asked for; it may yet."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EIO, why)


@dataclass(frozen=True)
class Item:
    """An object.

    Attributes:
        tag: changes when its content does.
    """

    size: int
    tag: str


class Store:
    """The objects below a URL, by their names below it.

    Every method raises StoreFailed where the store does not answer or refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._scheme, _, self._root = url.partition("://")
        self._opened = os.getpid(), _file_system(self._scheme, url)

    @property
    def _fs(self) -> Any:
        """The driver, which does not outlive a fork."""
        if self._opened[0] != os.getpid():
            self._opened = os.getpid(), _file_system(self._scheme, self.url)
        return self._opened[1]

    def check(self) -> None:
        """Checks that objects can be written and removed.

        Raises:
            BadInput: the bucket does not exist.
            MachineError: the store does not answer, or refuses.
        """
        name = f".rltune-{uuid4().hex}"
        with told(self.url):
            self.write(name, b"")
            self.delete([name])

    def items(self, folder: str = "", depth: int | None = None) -> dict[str, Item]:
        """Every object, by its name; without those that a local folder could not hold.

        Args:
            folder: in which they lie; "" for all.
            depth: of their names in it, in parts; None for all.
        """
        with self._answering():
            try:
                found = self._fs.find(self._path(folder), maxdepth=depth, detail=True)
            except FileNotFoundError:
                return {}
        below = f"{self._root}/"
        return {
            name: Item(int(body.get("size") or 0), _tag(body))
            for path, body in found.items()
            if body.get("type") == "file" and path.startswith(below)
            if is_plain(name := path.removeprefix(below))
        }

    def folders(self) -> list[str]:
        """Names of the folders right below the URL."""
        with self._answering():
            try:
                found = self._fs.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        names = [PurePosixPath(each["name"]).name for each in found if each["type"] != "file"]
        return sorted(filter(is_plain, names))

    def read(self, name: str) -> bytes:
        """The content of an object. Raises FileNotFoundError where there is none."""
        with self._answering():
            content: bytes = self._fs.cat_file(self._path(name))
        return content

    def seconds_since(self, name: str) -> float | None:
        """How long ago an object was written, by this machine's clock; None where it is not."""
        with self._answering():
            try:
                at: datetime = self._fs.modified(self._path(name))
            except FileNotFoundError:
                return None
        return (datetime.now(UTC) - at.astimezone(UTC)).total_seconds()

    def write(self, name: str, content: bytes) -> None:
        """Writes an object, whole or not at all."""
        with self._answering():
            self._fs.pipe_file(self._path(name), content)

    def write_all(self, contents: Mapping[str, bytes]) -> None:
        """Writes objects, many at a time."""
        with self._answering():
            paths = {self._path(name): content for name, content in contents.items()}
            self._fs.pipe(paths, batch_size=AT_A_TIME)

    def create(self, name: str, content: bytes) -> bool:
        """Writes an object that is not there yet. Returns whether it was not."""
        with self._answering():
            try:
                self._fs.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            except (TypeError, NotImplementedError):  # a driver that cannot tell
                if self._fs.exists(self._path(name)):
                    return False
                self._fs.pipe_file(self._path(name), content)
        return True

    def upload(self, files: Mapping[str, Path]) -> None:
        """Writes objects from local files."""
        paths = [self._path(name) for name in files]
        with self._answering():
            self._fs.put(list(map(str, files.values())), paths, batch_size=AT_A_TIME)

    def download(self, files: Mapping[str, Path]) -> None:
        """Writes objects into local files. Raises FileNotFoundError where one is gone."""
        paths = [self._path(name) for name in files]
        with self._answering():
            self._fs.get(paths, list(map(str, files.values())), batch_size=AT_A_TIME)

    def delete(self, names: Iterable[str]) -> None:
        """Removes objects; those that are gone do no harm."""
        if paths := [self._path(name) for name in names]:
            with self._answering(), suppress(FileNotFoundError):
                self._fs.rm(paths)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # every driver has errors of its own
            raise StoreFailed(_why(error)) from error


@contextmanager
def told(url: str) -> Iterator[None]:
    """Raises errors of a store as those of a command.

    Raises:
        BadInput: the bucket does not exist.
        MachineError: the store does not answer, or refuses.
    """
    try:
        yield
    except StoreFailed as error:
        raise MachineError(f"storage {url}: {error.strerror}") from error
    except FileNotFoundError as error:
        bucket = url.partition("://")[2].partition("/")[0]
        raise BadInput(f"storage {url}: there is no bucket {bucket}. Make it first") from error


def is_plain(name: str) -> bool:
    """Whether a name, which may be a stranger's, stays below the folder it is put in."""
    parts = name.split("/")
    return all(part not in ("", ".", "..") for part in parts) and not {"\\", "\0"} & set(name)


def _file_system(scheme: str, url: str) -> Any:
    import fsspec

    driver = SCHEMES[scheme]
    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        raise BadInput(
            f"storage {url} needs the package {driver.package}: pip install "
            f"'rltune[{driver.extra}]'"
        ) from error
    except Exception as error:
        raise MachineError(f"storage {url}: {_why(error)}") from error


def _tag(body: Mapping[str, Any]) -> str:
    tags = ("ETag", "etag", "generation", "LastModified", "updated", "last_modified")
    return next((str(body[name]) for name in tags if body.get(name)), "")


def _why(error: Exception) -> str:
    """An error of a driver's, without secrets, on one line."""
    kind = type(error).__name__
    text = _SECRET.sub("***@", " ".join(str(error).split())) or kind
    if isinstance(error, PermissionError):
        return f"access is denied ({text})"
    if _NO_CREDENTIALS.search(kind) or _NO_CREDENTIALS.search(text):
        return f"there are no credentials for it ({text})"
    return f"it does not answer, or refuses ({text})"
