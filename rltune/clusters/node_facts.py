"""What a node has of what a sweep needs, as found in a worker's process there.

These functions travel to nodes as they are, also to those that lack rltune: they use the standard
library alone, and modules of rltune that do the same.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rltune import import_path
from rltune.processes.torch_build import torch_cuda

#: Folders of rltune that lie beside it in a checkout, and within it where it is installed.
BESIDE = ("envs", "presets")
#: What of them is compared.
CODE = (".py", ".toml")
#: Looks for a file of the storage.
TRIES = 4


def facts(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Compares what is here with what is wanted. Imports nothing that it looks for.

    Args:
        wanted: ``packages``, names of distributions; ``modules``, names of installed modules;
            ``own``, the user's own code, each ``{"root", "module", "files": {path: hash}}``;
            ``file``, one of the storage, and ``hash``, its hash; or None for no storage to look at.

    Returns:
        ``python``; ``packages``, their versions or None; ``rltune``, the hash of its code or None;
        ``modules``, those that are not here; ``own``, numbers of those that are not here or
        differ; ``storage``, what is wrong with it or ""; ``cuda``, what torch was built with.
    """
    before = sys.path[:]
    sys.path[:] = import_path.whole()
    try:
        return {
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in wanted["packages"]},
            "rltune": code_hash(),
            "modules": [name for name in wanted["modules"] if _origin(name) is None],
            "own": [n for n, code in enumerate(wanted["own"]) if not _is_same(code)],
            "storage": _storage_problem(wanted["file"], wanted["hash"]),
            "cuda": torch_cuda(),
        }
    finally:
        sys.path[:] = before


def code_hash() -> str | None:
    """Hash of rltune's own code; None where it is not installed."""
    origin = _origin("rltune")
    if origin is None:
        return None
    whole = hashlib.sha1(usedforsecurity=False)
    for name, path in package_files(origin.parent):
        if path.suffix not in CODE:
            continue
        whole.update(name.encode() + b"\0" + file_hash(path).encode())
    return whole.hexdigest()


def package_files(package: Path) -> Iterator[tuple[str, Path]]:
    """Files of rltune, each with its place in an installed package.

    Args:
        package: the folder of rltune.
    """
    folders = {"": package}
    for name in BESIDE:
        if not (package / name).is_dir():
            folders[f"{name}/"] = package.parent / name
    found = {
        f"{place}{path.relative_to(folder).as_posix()}": path
        for place, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    yield from sorted(found.items())


def file_hash(path: Path) -> str:
    """Hash of a file's contents; empty where it cannot be read."""
    try:
        return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError:
        return ""


def _is_same(code: Mapping[str, Any]) -> bool:
    """Whether the user's code is what a trial would import here."""
    root = Path(import_path.moved(code["root"], import_path.copies()))
    if code["module"]:
        origin = _origin(code["module"])
        if origin is None:
            return False
        root = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    return all(file_hash(root / path) == found for path, found in code["files"].items())


def _storage_problem(file: str | None, expected: str) -> str:
    if file is None:
        return ""
    for _ in range(TRIES):
        if file_hash(Path(file)) == expected:
            return "" if os.access(Path(file).parent, os.W_OK) else "cannot be written"
        time.sleep(0.5)  # a network file system may know of it a moment later
    return "is not there"


def _origin(name: str) -> Path | None:
    """The file of a module, which is not imported; None where there is none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
