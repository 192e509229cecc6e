"""Folders that a trial's process imports from beside its own: the driver's, and shipped copies.

A cluster's workers get both through their variables. This is read before rltune itself is there,
see :mod:`rltune.clusters.node_facts`: the standard library alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

#: Variable with the folders that the driver imports from after everything that is installed.
LATE = "RLTUNE_IMPORT_PATH"
#: Variable with the driver's folders of which a copy was shipped.
SHIPPED = "RLTUNE_SHIPPED"
#: Name under which the copy of folder number N can be found.
PACKAGE = "rltune_shipped_{}"


def copies() -> dict[str, str]:
    """Where the copies of the driver's folders are in this process, by the folder."""
    found = {}
    for number, folder in enumerate(_split(os.environ.get(SHIPPED, ""))):
        spec = find_spec(PACKAGE.format(number))
        if spec is not None and spec.submodule_search_locations:
            found[folder] = next(iter(spec.submodule_search_locations))
    return found


def moved(path: str, copied: Mapping[str, str]) -> str:
    """A path in a folder that was shipped, as a path in the copy; any other one as it is."""
    for folder, copy in copied.items():
        if Path(path).is_relative_to(folder):
            return str(Path(copy) / Path(path).relative_to(folder))
    return path


def whole() -> list[str]:
    """``sys.path`` with the driver's folders; copies come first, in place of what is copied."""
    copied = copies()
    late = [path for path in _split(os.environ.get(LATE, "")) if path not in sys.path]
    others = [path for path in (*sys.path, *late) if path not in {*copied, *copied.values()}]
    return [*copied.values(), *others]


def _split(folders: str) -> list[str]:
    return [folder for folder in folders.split(os.pathsep) if folder]
