"""What of a working copy belongs to the run, and what is known to be in the store.

Records are files that grow or are written again. Checkpoints are folders that do not change once
their manifest is there, which is how a version of one is known. All else is of this machine alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Self

MANIFEST_FILE = "manifest.json"
#: Files of a checkpoint that every reader of a run needs.
HEAD = (MANIFEST_FILE, "record.json")
_CHECKPOINT = re.compile(r"(trials/[^/]+/checkpoints/[^/]+|best/checkpoint)(?:/(.+))?")
#: Hidden files that belong to the run; others are a process's own.
_HIDDEN = (".run.json.signature",)
#: Folders of a trial in which its process works.
_SCRATCH = ("scratch",)
#: What is known of the store, in the working copy.
KNOWN = ".known.json"

#: Size, time of the last change and inode: what changes when a file does.
Stamp = tuple[int, int, int]


def checkpoint_of(name: str) -> tuple[str, str] | None:
    """The checkpoint that a file belongs to, and its name there; None for a record."""
    found = _CHECKPOINT.fullmatch(name)
    return None if found is None or not found[2] else (found[1], found[2])


def is_record(name: str) -> bool:
    """Whether a name, which may be a stranger's, is one of a record."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") for part in parts) and name not in _HIDDEN
    scratch = any(part in _SCRATCH for part in parts)
    return not (hidden or scratch or _CHECKPOINT.fullmatch(name) or "checkpoints" in parts)


def grows(name: str) -> bool:
    """Whether a record is only ever added to, as long as it is the same file."""
    return name.endswith(".jsonl") or "events.out.tfevents" in name


def stamp(path: Path) -> Stamp | None:
    """A file's stamp; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def records(root: Path) -> Iterator[tuple[str, Stamp]]:
    """Every record of a working copy."""
    for folder, below, files in os.walk(root):
        place = Path(folder).relative_to(root).as_posix()
        above = "" if place == "." else f"{place}/"
        below[:] = [name for name in below if is_record(f"{above}{name}")]
        for name in files:
            whole = f"{above}{name}"
            if is_record(whole) and (found := stamp(root / whole)) is not None:
                yield whole, found


def checkpoint_folders(root: Path) -> Iterator[str]:
    """Every checkpoint of a working copy, whole or not."""
    for pattern in ("trials/*/checkpoints/*/", "best/checkpoint/"):
        yield from (path.relative_to(root).as_posix() for path in root.glob(pattern))


def is_whole(checkpoint: Path, kept: Collection[str] | None) -> bool:
    """Whether the files of a checkpoint are there: Tune may copy its manifest before them.

    Args:
        kept: files and folders in it that are left; None for all.
    """
    try:
        files = json.loads((checkpoint / MANIFEST_FILE).read_text())["files"]
        return all(
            (checkpoint / name).stat().st_size == size
            for name, (size, _) in files.items()
            if kept is None or name.partition("/")[0] in kept
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


@dataclass
class Known:
    """What a working copy has in common with the store.

    Attributes:
        files: records: their stamp here, the tag there ("" where it is not known) of the object
            that has them whole, and whether the log has more of them.
        checkpoints: by their folder: the stamp of their manifest here, and its tag there.
        log: tags of the objects of the log that were applied here.
    """

    files: dict[str, tuple[Stamp, str, bool]] = field(default_factory=dict)
    checkpoints: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    log: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Self:
        """What an earlier process has written; nothing where it cannot be read."""
        known = cls()
        with suppress(OSError, ValueError, TypeError, KeyError):
            values = json.loads((root / KNOWN).read_text())
            for name, (size, changed, inode, tag, logged) in values["files"].items():
                known.files[name] = (size, changed, inode), tag, logged
            for name, (size, changed, inode, tag) in values["checkpoints"].items():
                known.checkpoints[name] = (size, changed, inode), tag
            known.log = dict(values["log"])
        return known

    def write(self, root: Path) -> None:
        """Keeps it for the next process."""
        held = dict(self.checkpoints)  # another thread adds to it
        values = {
            "files": {name: [*at, tag, logged] for name, (at, tag, logged) in self.files.items()},
            "checkpoints": {name: [*at, tag] for name, (at, tag) in held.items()},
            "log": self.log,
        }
        part = root / f"{KNOWN}.part"
        part.write_text(json.dumps(values))
        part.replace(root / KNOWN)

    def has(self, root: Path, name: str, tag: str) -> bool:
        """Whether a record is here as the store has it, the log aside."""
        at = self.files.get(name)
        return at is not None and at[1] == tag != "" and at[0] == stamp(root / name)

    def has_checkpoint(self, root: Path, name: str, tag: str) -> bool:
        """Whether a checkpoint is here, in part at least, in the store's version."""
        at = self.checkpoints.get(name)
        return at is not None and at[1] == tag != "" and at[0] == stamp(root / name / MANIFEST_FILE)
