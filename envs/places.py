"""Where a user's classes and functions are: ``module:name`` or ``path/to/file.py:name``.

Whatever has such a place can be found again by another process, and in a run folder years later.
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

#: Modules that are being loaded, see :func:`starts`.
_under_way: list[str] = []


class Started(BaseException):
    """A script that is being loaded has come to where it starts rltune: what is there is enough."""


def starts() -> None:
    """Called where rltune begins to work: a script that is only being loaded gets no further.

    Workers load a user's script for the classes in it, and many scripts have no main guard.
    """
    if _under_way:
        raise Started


def is_loading() -> bool:
    """Whether a user's module or script is being run for what it defines."""
    return bool(_under_way)


def is_file(place: str) -> bool:
    """Whether a place is a file rather than a module's name."""
    return place.endswith(".py")


def split(name: str) -> tuple[str, str]:
    """``module:name`` in two; the module is empty where none is named."""
    place, _, rest = name.rpartition(":")
    return place, rest


def absolute(name: str) -> str:
    """A name with the whole path of its file, so that it holds in any folder."""
    place, rest = split(name)
    return f"{whole(place)}:{rest}" if is_file(place) else name


def whole(place: str) -> str:
    """A place with the whole path of its file."""
    return str(Path(place).expanduser().absolute()) if is_file(place) else place


def load(place: str) -> ModuleType:
    """The module of a name or a file, run once a process.

    A file's folder goes on the import path, as if Python had been started with it.

    Raises:
        ImportError: there is no such module or file.
        Exception: whatever the module raises.
    """
    if place in names_of_main():
        return sys.modules["__main__"]
    if not is_file(place):
        return _import(place)
    path = Path(place).expanduser().absolute()
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
    """The object of ``module:qualified.name``.

    Raises:
        ImportError: there is no such module or file.
        AttributeError: it has no such name.
        Exception: whatever the module raises.
    """
    place, qualname = split(name)
    return reduce(getattr, qualname.split("."), load(place))


def place_of(thing: Any) -> str:
    """The name that :func:`find` takes for a class or a function.

    Raises:
        ValueError: there is none, in words that tell why and what helps.
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
        found = find(name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name} cannot be imported: {error}") from error
    if found is not thing and found != thing:
        raise ValueError(f"{name} is another object by now: import it again")
    return name


def _importable(module: str) -> str:
    """The place of a module that this process has loaded."""
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
    """The places by which the main script of this process may be named; none of a notebook."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    names = [spec.name] if spec is not None else []  # python -m
    if file is not None and Path(file).is_file():
        names.append(str(Path(file).absolute()))
    return names


def _module_name(path: Path) -> str:
    """A file's own name where that is free; one that is nobody else's where it is not."""
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
    """Runs a module up to its end, or to where it would start rltune."""
    sys.modules[spec.name] = module_from_spec(spec)
    assert spec.loader is not None
    try:
        with _loading(spec.name):
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


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
