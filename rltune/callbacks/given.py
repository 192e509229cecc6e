"""Callbacks as a caller gives them: instances, or names of classes that are made for the run."""

from __future__ import annotations

from collections.abc import Sequence

from rltune.callbacks.base import Callback
from rltune.catalog.environments import missing_module
from rltune.envs import places
from rltune.errors import BadInput, unknown
from rltune.processes.tracebacks import headline

#: A callback, or the name of its class: ``module:Class`` or ``path/to/file.py:Class``.
CallbackLike = Callback | str


def split(callbacks: Sequence[CallbackLike]) -> tuple[list[str], list[Callback]]:
    """Returns the names among callbacks, which run.json holds, and the instances.

    Raises:
        BadInput: with every callback that a sweep could not notify.
    """
    check_callbacks(callbacks)
    names = [callback for callback in callbacks if isinstance(callback, str)]
    return names, [callback for callback in callbacks if isinstance(callback, Callback)]


def check_callbacks(callbacks: Sequence[CallbackLike]) -> None:
    """Checks instances, and imports the classes of names.

    Raises:
        BadInput: with every callback that a sweep could not notify.
    """
    if isinstance(callbacks, Callback | str):
        raise BadInput("callbacks must be a list: write callbacks=[...] around it")
    problems = []
    for callback in callbacks:
        try:
            _class_of(callback)
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)


def make_callbacks(callbacks: Sequence[CallbackLike]) -> list[Callback]:
    """Makes an instance of each name's class; returns instances as they are.

    Raises:
        BadInput: as :func:`check_callbacks`, or a constructor needs arguments or raises.
    """
    check_callbacks(callbacks)
    return [_made(callback) if isinstance(callback, str) else callback for callback in callbacks]


def _made(name: str) -> Callback:
    kind = _class_of(name)
    try:
        return kind()
    except (Exception, SystemExit) as error:
        raise BadInput(f"callbacks {name}: {kind.__name__}() raised {headline(error)}") from error


def _class_of(callback: CallbackLike) -> type[Callback]:
    """The class of a callback, checked."""
    if isinstance(callback, str):
        kind, shown = _imported(callback), f"callbacks {callback}:"
    elif isinstance(callback, type) and issubclass(callback, Callback):
        name = callback.__name__
        raise BadInput(f"callbacks holds the class {name}: make an instance, {name}()")
    else:
        kind, shown = type(callback), f"callbacks holds {callback!r}, which"
    if not (isinstance(kind, type) and issubclass(kind, Callback)):
        raise BadInput(f"{shown} does not subclass rltune.Callback")
    _check_methods(kind)
    return kind


def _imported(name: str) -> type:
    """What a name stands for: a class, unless the name is wrong.

    Raises:
        BadInput: its module is not there or fails, or lacks the name.
    """
    place, rest = places.split(name)
    if not place or not rest:
        raise BadInput(f"callbacks {name}: write it as module:Class or path/to/file.py:Class")
    try:
        module = places.load(place)
    except ModuleNotFoundError as error:
        raise BadInput(f"callbacks {name}: {missing_module(name, error)}") from error
    except (Exception, SystemExit) as error:
        raise BadInput(f"callbacks {name}: {headline(error)}") from error
    try:
        kind: type = places.find(name)
    except AttributeError as error:
        own = [
            each
            for each, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Callback) and value is not Callback
        ]
        raise BadInput(f"callbacks {name}: {unknown('class', rest, own)}") from error
    return kind


def _check_methods(kind: type[Callback]) -> None:
    """Refuses a method that looks like an event's and is none: it would never be called."""
    events = [name for name in vars(Callback) if name.startswith("on_")]
    for each in kind.__mro__:
        if not issubclass(each, Callback):
            continue  # what else a class inherits is no concern of ours
        for name in vars(each):
            if name.startswith("on_") and name not in events:
                raise BadInput(
                    f"callbacks: nothing calls {each.__name__}.{name}. The methods for events are "
                    f"{', '.join(events)}; one of your own needs another name, like _{name}"
                )
