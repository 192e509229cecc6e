"""Output files that a user named: checked before any work, written completely or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rltune.errors import BadInput, MachineError

#: Suffixes of videos; here because the import of rltune.policies.video takes seconds.
VIDEO_SUFFIXES = (".mp4", ".gif")


def check(option: str, path: Path, suffixes: Collection[str], overwrite: bool = False) -> None:
    """Checks that a file can be written.

    Args:
        option: command-line option that named it, for messages.
        suffixes: accepted suffixes.
        overwrite: whether an existing file may be replaced.

    Raises:
        BadInput: the suffix is not accepted, the folder does not exist, or the file exists.
        MachineError: its folder cannot be written.
    """
    place = f"{option} {path}"
    if path.suffix.lower() not in suffixes:
        raise BadInput(f"{place}: name a file that ends in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise BadInput(f"{place}: there is no folder {path.parent}. Make it first.")
    if path.is_dir():
        raise BadInput(f"{place}: that is a folder. Name a file.")
    if path.exists() and not overwrite:
        raise BadInput(
            f"{place} exists already. Choose another name, or replace it with `force=True`."
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _not_written(path, error) from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path, which replaces the real one unless an exception is raised.

    Raises:
        MachineError: the storage failed.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> MachineError:
    return MachineError(f"{path} cannot be written: {error.strerror or error}")
