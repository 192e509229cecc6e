"""Where a run lies: in a folder, or at a URL, which has a folder here as its working copy.

The two are told from each other by their names alone: nothing is imported or asked for that.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rltune.errors import BadInput, did_you_mean

#: The folder of all working copies; by default in the user's cache.
VARIABLE = "RLTUNE_CACHE"


@dataclass(frozen=True)
class Driver:
    """What speaks to a kind of object store: a package, and rltune's extra that installs it."""

    package: str
    extra: str


SCHEMES = {
    "s3": Driver("s3fs", "s3"),
    "gs": Driver("gcsfs", "gs"),
    "abfs": Driver("adlfs", "abfs"),
}
_OTHER_NAMES = {"s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}
#: A path has one slash where a URL has two.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEY = re.compile(r"[^\x00-\x1f\x7f?#*\[\]\\@]+")


def is_url(word: str | Path) -> bool:
    """Whether a storage, or a run, is named by a URL of an object store."""
    found = _URL.fullmatch(str(word))
    return found is not None and found[1].lower() != "file"


def driver_of(storage: str) -> Driver | None:
    """What speaks to the store of a storage; None for a folder."""
    return SCHEMES[storage.partition("://")[0]] if is_url(storage) else None


def local(word: str | Path) -> Path:
    """The folder of this machine that a path or a URL stands for.

    Raises:
        BadInput: the URL is none that runs can be stored at.
    """
    found = _URL.fullmatch(str(word))
    if found is None:
        return Path(word)
    if found[1].lower() == "file":
        return _of_file(found)
    scheme, _, place = checked(str(word)).partition("://")
    return root().joinpath(scheme, *place.split("/"))


def storage(word: str | Path) -> str:
    """A storage as a request holds it: an absolute path, or a URL.

    Raises:
        BadInput: as :func:`local`.
    """
    return checked(str(word)) if is_url(word) else str(local(word).expanduser().resolve())


def checked(url: str) -> str:
    """A URL in its usual form.

    Raises:
        BadInput: its scheme is not known, it holds credentials, or names no bucket.
    """
    found = _URL.fullmatch(url)
    assert found is not None
    scheme = _OTHER_NAMES.get(found[1].lower(), found[1].lower())
    place = found[3].strip("/")
    if "@" in place:
        raise BadInput(
            f"storage {scheme}://***@{place.rpartition('@')[2]}: a URL with credentials or an "
            "account would end up in files and logs. Leave them out: the store's own variables and "
            "files hold them, as AWS_ACCESS_KEY_ID or AZURE_STORAGE_ACCOUNT_NAME"
        )
    if scheme == "memory":
        raise BadInput(f"storage {url}: memory is gone when the process ends")
    if scheme not in SCHEMES:
        known = [f"{name}://" for name in SCHEMES]
        raise BadInput(
            f"storage {url}: runs are stored in folders, or at {', '.join(known)}."
            f"{did_you_mean(f'{scheme}://', known)}"
        )
    bucket, *parts = place.split("/")
    if len(found[2]) > 2 or not _BUCKET.fullmatch(bucket):
        raise BadInput(f"storage {url}: name a bucket, as {scheme}://my-bucket/runs")
    if any(part in ("", ".", "..") or not _KEY.fullmatch(part) for part in parts):
        raise BadInput(f"storage {url}: name its folders plainly, as {scheme}://{bucket}/runs")
    return "/".join([f"{scheme}://{bucket}", *parts])


def _of_file(found: re.Match[str]) -> Path:
    if len(found[2]) == 2:
        raise BadInput(f"{found[0]}: a file URL has three slashes, as file:///mnt/runs")
    return Path("/" + found[3])


def root() -> Path:
    """The folder of all working copies."""
    variables = ("XDG_CACHE_HOME", VARIABLE)
    return _root(*(os.environ.get(name, "") for name in variables))


@lru_cache
def _root(cache: str, chosen: str) -> Path:
    if chosen:
        return Path(chosen).resolve()
    try:  # a relative XDG_CACHE_HOME is to be ignored
        above = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # no home folder
        above = Path(tempfile.gettempdir(), f"rltune-{os.getuid()}")
    return (above / "rltune" / "storage").resolve()


def url_of(path: Path) -> str | None:
    """The URL that a folder is the working copy of; None for any other folder.

    Args:
        path: absolute and resolved.
    """
    above = root()
    if not path.is_relative_to(above):
        return None
    scheme, *parts = path.relative_to(above).parts or ("",)
    return f"{scheme}://{'/'.join(parts)}" if scheme in SCHEMES and parts else None


def shown(path: Path) -> str:
    """A path as a person reads it: a URL, for what is in a working copy."""
    return url_of(path.absolute()) or str(path)
