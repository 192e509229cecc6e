"""Files that a user asked for by name: checked before any work, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rltune.errors import BadInput, MachineError

#: What a video may be, here and not in rltune.policies.video, whose import takes seconds.
VIDEO_SUFFIXES = (".mp4", ".gif")


def check(option: str, path: Path, suffixes: Collection[str], overwrite: bool = False) -> None:
    """Whether a file can be written.

    Args:
        option: that named it.
        suffixes: that it may have.
        overwrite: whether a file that is there already may be replaced.

    Raises:
        BadInput: another suffix, no such folder, or a file that is there already.
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
    """A path to write to, beside the real one, which it replaces if nothing was raised.

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
