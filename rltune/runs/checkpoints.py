"""Sealed checkpoints: a manifest written last says what a folder holds, and is checked first.

A folder without a manifest was never finished; a file that differs from its line in it was cut
short or damaged. That is no proof of who wrote it: a checkpoint that holds pickles also carries a
signature of its user's. Neither torch nor Ray is imported here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rltune._version import __version__
from rltune.errors import BadCheckpoint
from rltune.runs import signatures
from rltune.runs.remote import copy as working_copies
from rltune.runs.remote.tree import HEAD, MANIFEST_FILE

#: The manifest's name in a checkpoint.
MANIFEST = MANIFEST_FILE
#: Of what a checkpoint holds and how. Raised where an older rltune would misread it.
SCHEMA = 2
#: Written in every checkpoint: the returns and settings behind its weights.
RECORD_FILE = HEAD[1]
#: The network's weights, tensors alone.
POLICY_FILE = "policy.pt"
#: What else a trial of rltune's engine continues from, tensors alone. A checkpoint without it is
#: RLlib's own, of pickles.
LEARNER_FILE = "learner.pt"
#: The replay buffer, arrays alone; the largest file by far.
REPLAY_FILE = "replay.npz"
#: What a function of the user's continues from, as JSON.
STATE_FILE = "state.json"
#: Files that are read as data, whatever their origin.
DATA = (MANIFEST, RECORD_FILE, POLICY_FILE, LEARNER_FILE, REPLAY_FILE, STATE_FILE)
#: Algorithms, as rltune.spec has them, whose files a user's code opens, whatever their names.
OWN_CODE = ("function", "rllib")

_CHUNK = 1 << 20
_SIGNATURE = "signature"


def seal(path: Path | str, algo: str, signed: bool = False) -> None:
    """Writes the manifest of a finished checkpoint folder.

    Args:
        algo: the algorithm's name in rltune.catalog.algorithms.
        signed: whether this user signs it as their own, for :func:`check_pickles`.
    """
    folder = Path(path)
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "algo": algo,
        "rltune": __version__,
        "files": {
            file.relative_to(folder).as_posix(): [file.stat().st_size, checksum(file)]
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file != folder / MANIFEST
        },
    }
    _write(folder, manifest, signed)


def sign(path: Path | str) -> None:
    """Signs a sealed checkpoint folder as this user's own.

    Raises:
        BadCheckpoint: it is damaged, or links to other places.
    """
    folder = Path(path)
    verify(folder, skip=(REPLAY_FILE,))
    _write(folder, _manifest(folder), signed=True)


def _write(folder: Path, manifest: dict[str, Any], signed: bool) -> None:
    if signed:
        manifest[_SIGNATURE] = signatures.sign("checkpoint", _pickles(folder, manifest["algo"]))
    unfinished = folder / f"{MANIFEST}.part"
    unfinished.write_text(json.dumps(manifest, indent=1))
    unfinished.replace(folder / MANIFEST)


def verify(
    path: Path | str,
    algo: str | None = None,
    skip: Collection[str] = (),
    only: Collection[str] | None = None,
) -> None:
    """Checks a checkpoint folder against its manifest; files beside those in it do no harm.

    Args:
        algo: the algorithm it has to be of; None for any.
        skip: files, by relative name, that are not looked at.
        only: the files that are looked at; None for all of the manifest's.

    Raises:
        BadCheckpoint: it is unfinished, incomplete, damaged, of another algorithm or of a newer
            format; the message names the file.
    """
    folder = Path(path)
    manifest = _manifest(folder)
    if algo is not None and manifest["algo"] != algo:
        raise BadCheckpoint(f"{folder} is a checkpoint of {manifest['algo']}, not of {algo}")
    files: dict[str, list[int]] = manifest["files"]
    wanted = [name for name in (files if only is None else only) if name not in skip]
    working_copies.complete(folder, wanted)
    for name in wanted:
        _verify_file(folder / name, files.get(name))


def complete(path: Path | str) -> None:
    """Fetches what a checkpoint lacks here of its files but its replay buffer, from a store.

    Raises:
        BadCheckpoint: there is no manifest that can be read.
    """
    if working_copies.copy_of(Path(path)) is None:
        return
    files = _manifest(Path(path))["files"]
    working_copies.complete(Path(path), [name for name in files if name != REPLAY_FILE])


def is_data(path: Path | str) -> bool:
    """Whether a trial can continue from a checkpoint without opening a pickle.

    Raises:
        BadCheckpoint: there is no manifest that can be read.
    """
    manifest = _manifest(Path(path))
    files = manifest["files"].keys()
    if manifest["algo"] in OWN_CODE:
        return STATE_FILE in files and files <= set(DATA)
    return LEARNER_FILE in files


def is_signed(path: Path | str) -> bool:
    """Whether this user has signed a checkpoint, and nothing that could be code changed since."""
    folder = Path(path)
    try:
        manifest = _manifest(folder)
        if _SIGNATURE not in manifest:
            return False
        content = _pickles(folder, manifest["algo"])
    except BadCheckpoint:
        return False
    return signatures.is_signed("checkpoint", content, manifest[_SIGNATURE])


def check_pickles(path: Path | str) -> None:
    """Raises BadCheckpoint where opening a checkpoint could run code of somebody else's."""
    if not is_signed(path):
        raise BadCheckpoint(
            f"{path} holds pickles of RLlib's, which can run any code when they are opened, and "
            "this user has not signed it (another machine or user wrote it, or an earlier rltune, "
            f"or it was changed). If you trust it: rltune.trust({str(path)!r}), or `rltune resume "
            "RUN --trust` for all of a run"
        )


def _pickles(folder: Path, algo: str) -> bytes:
    """What is signed: every file that could be code, by name and SHA-256."""
    found = {}
    if (folder / MANIFEST).exists():  # else it is being written
        complete(folder)
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink():
            raise BadCheckpoint(f"{file} is a link: a checkpoint holds files of its own")
        if file.is_file() and name not in {*DATA, f"{MANIFEST}.part"}:
            with file.open("rb") as opened:
                found[name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return json.dumps([algo, found]).encode()


def holds(path: Path | str, name: str) -> bool:
    """Whether a checkpoint's manifest lists a file.

    Raises:
        BadCheckpoint: there is no manifest that can be read.
    """
    return name in _manifest(Path(path))["files"]


def strip(path: Path | str, keep: Collection[str]) -> None:
    """Removes all but a few files and the manifest: no trial can continue from the checkpoint."""
    working_copies.stripped(Path(path), {*keep, MANIFEST})
    for child in Path(path).iterdir():
        if child.name in {*keep, MANIFEST}:
            continue
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)


def checksum(file: Path) -> int:
    """CRC-32 of a file's bytes, read a piece at a time."""
    crc = 0
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    working_copies.complete(folder, (MANIFEST,))
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadCheckpoint(
            f"{folder} has no {MANIFEST}: it was never finished, or is no checkpoint of rltune's"
        ) from None
    except ValueError as error:
        raise BadCheckpoint(f"{path} is damaged: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(schema := manifest.get("schema"), int):
        raise BadCheckpoint(f"{path} is damaged: it states no schema")
    if schema > SCHEMA:
        raise BadCheckpoint(
            f"{folder} has format {schema}, written by rltune {manifest.get('rltune')}; this is "
            f"rltune {__version__}, which reads up to {SCHEMA}: update rltune"
        )
    if not {"algo", "files"} <= manifest.keys():
        raise BadCheckpoint(f"{path} is damaged: it names no algorithm or no files")
    return manifest


def _verify_file(file: Path, wanted: list[int] | None) -> None:
    if wanted is None or not file.is_file():
        raise BadCheckpoint(f"{file} is missing")
    size, crc = wanted
    found = file.stat().st_size
    if found != size:
        raise BadCheckpoint(f"{file} is cut short or overgrown: {found} bytes instead of {size}")
    if checksum(file) != crc:
        raise BadCheckpoint(f"{file} is damaged: its checksum is not the manifest's")
