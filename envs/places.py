"""Import paths of a user's classes and functions: ``module:name`` or ``path/to/file.py:name``.

An object with such a path can be imported by another process, and from an old run folder.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from rltune.errors import warn_once
from rltune.import_path import copies, moved

#: Names of the modules that are being loaded, see :func:`starts`.
_under_way: list[str] = []


class Started(BaseException):
    """Ends the loading of a script at its first call of rltune: its definitions are complete."""


def starts() -> None:
    """Stops the loading of a user's script; called at the start of rltune's public functions.

    Workers load a user's script to import its classes, and many scripts have no main guard.
    """
    if _under_way:
        raise Started


def is_loading() -> bool:
    """Whether a user's module or script is being loaded for its definitions."""
    return bool(_under_way)


def is_file(place: str) -> bool:
    """Whether a place is a file rather than a module's name."""
    return place.endswith(".py")


def split(name: str) -> tuple[str, str]:
    """Splits ``module:name``; the module is empty if there is none."""
    place, _, rest = name.rpartition(":")
    return place, rest


def absolute(name: str) -> str:
    """Makes the path of a name's file absolute, so that the name works from any folder."""
    place, rest = split(name)
    return f"{whole(place)}:{rest}" if is_file(place) else name


def whole(place: str) -> str:
    """Makes the path of a file absolute; returns a module's name unchanged."""
    return str(Path(place).expanduser().absolute()) if is_file(place) else place


def load(place: str) -> ModuleType:
    """Loads the module of a name or a file, once per process.

    Adds a file's folder to the import path, as Python does for the script that it runs.

    Raises:
        ImportError: the module or file does not exist.
        Exception: any exception that the module raises.
    """
    if place in names_of_main():
        return sys.modules["__main__"]
    if not is_file(place):
        return _import(place)
    path = Path(moved(str(Path(place).expanduser().absolute()), copies()))
    if not path.is_file():
        raise ModuleNotFoundError(f"there is no file {path}", name=place)
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file():  # a package's own module: its imports may be relative
        root, parts = root.parent, [root.name, *parts]
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    if len(parts) > 1:
        return _import(".".join(parts))
    name = _module_name(path)
    spec = spec_from_file_location(name, path)
    assert spec is not None  # it ends in .py
    return sys.modules[name] if name in sys.modules else _run(spec)


def find(name: str) -> Any:
    """Imports the object of ``module:qualified.name``.

    Raises:
        ImportError: the module or file does not exist.
        AttributeError: the module does not define the name.
        Exception: any exception that the module raises.
    """
    place, qualname = split(name)
    return reduce(getattr, qualname.split("."), load(place))


def place_of(thing: Any) -> str:
    """Returns the import path of a class or a function, as :func:`find` takes it.

    Raises:
        ValueError: there is none; the message says why and how to fix it.
    """
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise ValueError(f"{_article(type(thing).__name__)} cannot be kept in a file")
    if not isinstance(getattr(thing, "__self__", None), type | ModuleType | None):
        raise ValueError(
            f"{qualname} is of an object, and cannot be kept in a file: use a function"
        )
    if "<lambda>" in qualname:
        raise ValueError("a lambda cannot be kept in a file: move it to a module, as a function")
    if "<locals>" in qualname:
        raise ValueError(
            f"{qualname.rpartition('.')[2]} is defined within a function, where no other process "
            "can import it: move it to the top level of a module"
        )
    name = f"{_importable(module)}:{qualname}"
    try:
        imported = find(name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name} cannot be imported: {error}") from error
    if imported is not thing and imported != thing:
        raise ValueError(f"{name} is another object by now: import it again")
    return name


def _importable(module: str) -> str:
    """Returns the import path of a module that this process has loaded."""
    if module != "__main__":
        if getattr(sys.modules.get(module), "__spec__", None) is None:
            raise ValueError(
                f"module {module} is in this process alone, where workers cannot import it: write "
                "it to a file"
            )
        return module
    names = names_of_main()
    if not names:
        raise ValueError(
            "what is defined in a notebook or an interactive session no other process can import: "
            "write it to a file beside it (in a notebook, %%writefile my_env.py) and import it "
            "from there"
        )
    return names[0]


def names_of_main() -> list[str]:
    """Returns the import paths of the main script of this process; none in a notebook."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    names = [spec.name] if spec is not None else []  # python -m
    if file is not None and Path(file).is_file():
        names.append(str(Path(file).absolute()))
    return names


def _module_name(path: Path) -> str:
    """Returns a module name for a file: its stem, or a unique name if the stem is taken."""
    taken = sys.modules.get(path.stem)
    own = taken is not None and getattr(taken, "__file__", None) == str(path)
    if own or (taken is None and path.stem not in sys.stdlib_module_names):
        return path.stem
    mark = hashlib.sha1(str(path).encode(), usedforsecurity=False).hexdigest()[:8]
    return re.sub(r"\W", "_", f"{path.stem}_{mark}")


def _import(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = _run(spec)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


def _run(spec: ModuleSpec) -> ModuleType:
    """Runs a module to its end, or to its first call of rltune."""
    sys.modules[spec.name] = module_from_spec(spec)
    assert spec.loader is not None
    try:
        with _loading(spec.name), _connected(spec.name):
            spec.loader.exec_module(sys.modules[spec.name])
    except Started:
        pass
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    return sys.modules[spec.name]


@contextmanager
def _loading(name: str) -> Iterator[None]:
    _under_way.append(name)
    try:
        yield
    finally:
        _under_way.pop()


@contextmanager
def _connected(name: str) -> Iterator[None]:
    """Lets a script pass that connects to Ray: a worker has a Ray, and definitions need none."""
    ray: Any = sys.modules.get("ray")
    if ray is None:
        yield
        return
    init = ray.init

    def pass_over(*_: Any, **__: Any) -> Any:
        if ray.is_initialized():
            return init(ignore_reinit_error=True)
        warn_once(
            f"ray.init() of {name} is left out: it is loaded for its definitions. Name a cluster "
            "with `address`."
        )
        return None

    ray.init = pass_over
    try:
        yield
    finally:
        ray.init = init


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
