"""Words of the command line as values."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from rltune.errors import BadInput


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


def table(option: str, word: str) -> dict[str, Any]:
    """``{lr=1e-3}`` as a dict.

    Raises:
        BadInput: it is no TOML table.
    """
    found = value(word)
    if not isinstance(found, dict):
        raise BadInput(f"{option} {word!r}: write it as {option} '{{lr=1e-3}}'")
    return found


def value(text: str) -> Any:
    """``1e-3``, ``true``, ``[64, 64]`` and ``{log=[1e-5,1e-2]}`` as TOML; anything else is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
