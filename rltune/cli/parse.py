"""Words of the command line as values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rltune.cli.spelling import spelling
from rltune.errors import BadInput

#: How options of ``KEY=VALUE`` words are written.
_PAIRS = {
    "settings": "--set lr=1e-3",
    "space": "--space 'lr={log=[1e-5,1e-2]}'",
    "env_args": "--env-arg gravity=9.8",
    "thresholds": "--threshold cartpole=400",
}


def values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the command line as Python takes them: dicts in the place of words.

    Raises:
        BadInput: words that are not written as they should be.
    """
    found = dict(options)
    for name in _PAIRS.keys() & options.keys():
        found[name] = pairs(spelling(name), options[name], _PAIRS[name])
    if "points" in options:
        found["points"] = [_point(word) for word in options["points"]]
    return found


def pairs(option: str, words: Sequence[str], example: str) -> dict[str, Any]:
    """``KEY=VALUE`` words as a dict; values are read as TOML writes them, else as plain text.

    Raises:
        BadInput: a word without ``=``, or a key given twice.
    """
    values: dict[str, Any] = {}
    problems = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            problems.append(f"{option} {word!r}: write it as {example}")
        elif key in values:
            problems.append(f"{option} {key}: given twice")
        else:
            values[key] = value(text)
    if problems:
        raise BadInput(problems)
    return values


def _point(word: str) -> dict[str, Any] | str:
    """``{lr=1e-3}`` as a dict; anything else is the name of a file.

    Raises:
        BadInput: it is neither a table nor a file, but looks like settings.
    """
    found = value(word)
    if isinstance(found, dict):
        return found
    if word.lstrip().startswith("{") or ("=" in word and not Path(word).exists()):
        raise BadInput(
            f"{spelling('points')} {word!r}: write it as {spelling('points')} '{{lr=1e-3}}'"
        )
    return word


def value(text: str) -> Any:
    """``1e-3``, ``true``, ``[64, 64]`` and ``{log=[1e-5,1e-2]}`` as TOML; anything else is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
