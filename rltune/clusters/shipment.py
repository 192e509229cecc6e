"""Code that travels to the nodes of a cluster: rltune's own, and the user's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rltune import import_path
from rltune._version import __version__
from rltune.clusters import own_files
from rltune.clusters.node_facts import package_files
from rltune.clusters.own_code import OwnCode


@dataclass(frozen=True)
class Shipment:
    """What travels.

    Attributes:
        rltune: whether rltune's own code does.
        own: the user's code.
    """

    rltune: bool
    own: Sequence[OwnCode]

    def __bool__(self) -> bool:
        return self.rltune or bool(self.own)

    @property
    def shown(self) -> str:
        """What it is, for messages."""
        own = dict.fromkeys(code.shown for code in self.own)
        return " and ".join([*([f"rltune {__version__}"] if self.rltune else []), *own])

    @property
    def roots(self) -> list[Path]:
        """Folders of the user's that copies are made of."""
        return list(dict.fromkeys(code.root for code in self.own))

    @property
    def variables(self) -> dict[str, str]:
        """Variables that tell a trial's process of what copies it has."""
        return {import_path.SHIPPED: os.pathsep.join(map(str, self.roots))} if self.own else {}

    @contextmanager
    def folders(self) -> Iterator[list[str]]:
        """Folders for ``py_modules`` of a runtime environment, until the end of the context.

        Raises:
            BadInput: they are larger than may travel.
        """
        with tempfile.TemporaryDirectory(prefix="rltune-ships-") as place:
            made = [self._copy(number, root, place) for number, root in enumerate(self.roots)]
            if self.rltune:
                made.append(_copy_of_rltune(Path(place) / "rltune"))
            yield list(map(str, made))

    def _copy(self, number: int, root: Path, place: str) -> Path:
        files = {path for code in self.own if code.root == root for path in code.files}
        own_files.check_size(files, root)
        folder = Path(place) / import_path.PACKAGE.format(number)
        for path in files:
            _copy_file(root / path, folder / path)
        return folder


def _copy_of_rltune(folder: Path) -> Path:
    """Copies rltune as it is installed."""
    spec = find_spec("rltune")
    assert spec is not None
    assert spec.origin is not None
    for name, path in package_files(Path(spec.origin).parent):
        _copy_file(path, folder / name)
    return folder


def _copy_file(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
