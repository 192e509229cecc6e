"""Files of the user's own that a request names, and what their code imports from beside them.

Found by reading, not by running: whatever else the code opens is named with ``ship``.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rltune.envs import places
from rltune.errors import BadInput

#: Bytes that may travel; more belongs into an image or on shared storage.
MOST = 50 << 20


def of_modules(names: Iterable[str], folder: Path) -> list[Path]:
    """Files of modules, relative to a folder, with all that they import from it.

    Args:
        names: ``file.py``, ``module``, or either with ``:Name`` behind it. What is neither a file
            nor a module of the folder is taken to be installed.
        folder: the user's current folder.

    Raises:
        BadInput: a file lies outside the folder.
    """
    found: dict[Path, None] = {}
    waiting = [path for name in names for path in _module(_place(name), folder)]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[within(path, folder)] = None
        if path.suffix == ".py":
            waiting += _imported(folder / path, folder)
    return sorted(found)


def shipped(paths: Iterable[str | Path], folder: Path) -> list[Path]:
    """Files that paths name, relative to a folder; a folder stands for all in it.

    Raises:
        BadInput: a path is not there, or lies outside the folder.
    """
    found: list[Path] = []
    for path in paths:
        whole = folder / Path(path).expanduser()
        if not whole.exists():
            raise BadInput(f"{path}: there is no such file or folder")
        within(whole, folder)  # also where nothing is below it
        found += [within(each, folder) for each in _below(whole)]
    return found


def check_size(files: Iterable[Path], folder: Path, most: int = MOST) -> None:
    """Raises BadInput for more than a job may bring along."""
    size = sum((folder / path).stat().st_size for path in files)
    if size > most:
        raise BadInput(
            f"your files have {size / 2**20:.1f} MiB, and {most / 2**20:.1f} MiB may travel: put "
            "them into the image, or on storage that all nodes see"
        )


def within(path: str | Path, folder: Path) -> Path:
    """A path relative to a folder that it lies in.

    Raises:
        BadInput: it lies elsewhere.
    """
    whole = Path(os.path.normpath(folder / Path(path).expanduser()))
    try:
        return whole.relative_to(folder)
    except ValueError:
        raise BadInput(
            f"{path} lies outside {folder}: start this in a folder that holds all it needs"
        ) from None


def _place(name: str) -> str:
    place, rest = places.split(name)
    return place or rest


def _module(place: str, folder: Path) -> Iterator[Path]:
    """Files of a module: one, or those of its package."""
    if places.is_file(place):
        path = folder / Path(place).expanduser()
        package = path.parent
        if not (package / "__init__.py").is_file():
            yield within(path, folder)
            return
        while (package.parent / "__init__.py").is_file():
            package = package.parent
        yield from (within(each, folder) for each in _below(package))
        return
    yield from _beside(place.split(".")[0], folder, folder)


def _beside(top: str, where: Path, folder: Path) -> Iterator[Path]:
    """Files of the top-level module of a name in a folder; none if it is not there."""
    if (where / f"{top}.py").is_file():
        yield within(where / f"{top}.py", folder)
    elif (where / top / "__init__.py").is_file():
        yield from (within(each, folder) for each in _below(where / top))


def _below(path: Path) -> Iterator[Path]:
    """A file, or the files of a folder, but for hidden ones and Python's caches."""
    if path.is_file():
        yield path
        return
    for each in sorted(path.iterdir()):
        if not each.name.startswith(".") and each.name != "__pycache__":
            yield from _below(each)


def _imported(path: Path, folder: Path) -> Iterator[Path]:
    """Files that a module imports from its own folder, or from the user's."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # its import has failed, or is in a branch of another Python
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            module, colon, name = node.value.partition(":")  # an entry point, as gymnasium has it
            names = [module] if colon and f"{module}.{name}".replace(".", "").isidentifier() else []
        for top in {name.split(".")[0] for name in names}:
            for where in dict.fromkeys((path.parent, folder)):
                yield from _beside(top, where, folder)
