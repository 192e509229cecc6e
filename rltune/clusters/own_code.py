"""The code of the user's own that trials import, and the packages that they need."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rltune import envs
from rltune.clusters import own_files
from rltune.clusters.node_facts import file_hash
from rltune.envs import places
from rltune.envs.arguments import DATACLASS, ENUM, NAMEDTUPLE, OBJECT, TAG
from rltune.runs.remote.location import driver_of
from rltune.space.derived import is_text
from rltune.spec import RunSpec

#: Packages that a trial's process imports; what else rltune needs is for the driver.
NEEDED = (
    *("ray", "torch", "gymnasium", "numpy", "scipy", "psutil", "filelock"),
    *("dm-tree", "lz4", "pandas", "pyarrow"),  # of RLlib and Tune
)
#: Packages of environments that gymnasium's ids do not name a module for.
OF_FAMILIES = {"box2d": "box2d", "mujoco": "mujoco"}
#: Where Python's library is, and packages are.
INSTALLED = tuple(map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))


@dataclass(frozen=True)
class OwnCode:
    """Files of the user's that are imported from one folder.

    Attributes:
        root: the folder.
        module: the top-level module that is imported by name; empty where a file is.
        files: relative to it.
        shown: what was named, for messages.
    """

    root: Path
    module: str
    files: tuple[Path, ...]
    shown: str

    def hashes(self) -> dict[str, Any]:
        """As :func:`rltune.clusters.node_facts.facts` compares it."""
        files = {path.as_posix(): file_hash(self.root / path) for path in self.files}
        return {"root": str(self.root), "module": self.module, "files": files}


def code_of(spec: RunSpec) -> tuple[list[OwnCode], list[str]]:
    """The user's own code that the trials of a run import, and installed modules that it names.

    Raises:
        BadInput: a file cannot be carried.
    """
    own: dict[tuple[Path, str], OwnCode] = {}
    installed: dict[str, None] = {}
    for place in dict.fromkeys(_places(spec)):
        if places.is_file(place):
            root, module = _root(Path(place)), ""
        else:
            module = place.split(".")[0]
            found = find_spec(module)
            if found is None or not found.origin or found.origin.startswith(INSTALLED):
                installed[module] = None
                continue
            origin = Path(found.origin)
            root = origin.parent.parent if origin.name == "__init__.py" else origin.parent
        if module == "rltune":
            continue
        files = [path for path in own_files.of_modules([place], root) if _is_own(path, root)]
        own[root, module or place] = OwnCode(root, module, tuple(files), module or Path(place).name)
    return list(own.values()), list(installed)


def packages_of(spec: RunSpec) -> list[str]:
    """Distributions that a trial needs on its node."""
    singles = spec.singles
    extras = {OF_FAMILIES[extra] for one in singles if (extra := _extra(one)) in OF_FAMILIES}
    pooled = any(one.env_options.simulator == "envpool" for one in singles)
    store = [driver.package] if (driver := driver_of(spec.storage)) else []
    return [*NEEDED, *sorted(extras), *(["envpool"] if pooled else []), *store]


def _extra(spec: RunSpec) -> str:
    info = envs.known(spec.env_id) if spec.plays else None
    return (info.extra if info else None) or ""


def _places(spec: RunSpec) -> Iterator[str]:
    """Modules and files of import paths in a request."""
    names = [str(spec.settings.get("env", ""))]
    for single in spec.singles:
        names += [single.env_id, *_objects(single.env_options.env_args)]
    names += [path for path in spec.derived.values() if not is_text(path)]
    yield from filter(None, (places.split(name)[0] for name in names))
    yield from spec.env_options.imports


def _objects(value: Any) -> Iterator[str]:
    """Import paths in encoded arguments."""
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)
    if not isinstance(value, Mapping):
        return
    body = value.get("value")
    match value.get(TAG):
        case OBJECT.name:
            yield str(body)
        case ENUM.name | DATACLASS.name | NAMEDTUPLE.name:
            yield str(value["value"]["class"])
    for each in value.values():
        yield from _objects(each)


def _is_own(path: Path, root: Path) -> bool:
    """Whether imports find a file of a folder, and not something installed with its name."""
    found = find_spec(Path(path.parts[0]).stem)
    return found is None or not found.origin or Path(found.origin).is_relative_to(root)


def _root(path: Path) -> Path:
    """The folder that a file's imports begin in, as :func:`rltune.envs.places.load` takes it."""
    root = path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return root
