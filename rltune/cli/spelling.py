"""How the command line spells options, and messages that name them as Python does."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping
from typing import Any

from rltune.options import OF_NODES, OPTIONS

#: Options that are spelled differently from their Python keyword.
_SPELLED = {
    "settings": "--set",
    "number_of_settings": "--settings",
    "points": "--point/--points",
    "former": "--from",
    "env_args": "--env-arg",
    "thresholds": "--threshold",
    "imports": "--import",
    "callbacks": "--callback",
    "log": "--log",
    "log_all": "--log-all",
    "synchronous": "--synchronous/--asynchronous",
}
#: Keywords of functions that are options of single commands.
_OWN = ("env", "force", "point", "seeds", "trust", "video")
_NAMES = "|".join((*OPTIONS, *(name for name in OF_NODES if "_" in name), *_OWN))
_FIRST = re.compile(rf"^({_NAMES})(?=[ :])")
_QUOTED = re.compile(rf"`({_NAMES})(?:=([^`]*))?`")


def declared(name: str) -> tuple[str, ...]:
    """What typer is given to spell an option; nothing where it spells it by itself."""
    return (_SPELLED[name],) if name in _SPELLED else ()


def spelling(name: str) -> str:
    """An option as it is typed: ``--env-timeout``."""
    return _SPELLED.get(name, f"--{name.replace('_', '-')}").partition("/")[0]


def spelled(name: str, word: str) -> list[str]:
    """What is typed for an option: its name, and its word where it is no switch.

    Args:
        word: "True" or "False" for a switch.
    """
    if word not in ("True", "False") or not _is_switch(name):
        return [spelling(name), word]
    on, _, off = _SPELLED.get(name, spelling(name)).partition("/")
    return [on if word == "True" else off or f"--no-{on.removeprefix('--')}"]


def typed(message: str) -> str:
    """A message with its options as they are typed.

    It may begin with an option's name, and name others in backquotes, with a value or without:
    ```env_timeout=60``` becomes ``--env-timeout 60``.
    """
    message = _FIRST.sub(lambda match: spelling(match[1]), message)
    return _QUOTED.sub(lambda match: _with_value(match[1], match[2]), message)


def _is_switch(name: str) -> bool:
    return name not in OPTIONS or OPTIONS[name].types[0] is bool


def _with_value(name: str, text: str | None) -> str:
    if text is None:
        return spelling(name)
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text  # a placeholder, as SECONDS
    return " ".join([spelling(name), *map(shlex.quote, _words(value))])


def _words(value: Any) -> list[str]:
    """What is typed for a value; nothing after a flag."""
    if value is True:
        return []
    if isinstance(value, Mapping):
        return [
            f"{key}={str(each).lower() if each is True else each}" for key, each in value.items()
        ]
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
