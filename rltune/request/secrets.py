"""Secret environment arguments: recognised by their names, kept in environment variables.

Workers inherit the variables; run.json, checkpoints and Ray's files contain placeholders,
``$RLTUNE_SECRET_X``. An argument is a secret if the last words of its name are in :data:`NAMES` and
its value is not empty: ``api_key``, ``dbPassword``, ``AUTH_TOKEN``, also within a table or a
dataclass. ``max_tokens``, ``author`` and ``passwords`` are not secrets.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rltune.envs.arguments import JSON_SUFFIX, SECRET_PREFIX, TAG, encode

_KEYS = ("access", "api", "auth", "encryption", "private", "secret", "signing")
#: Last words of a secret's name.
NAMES = frozenset(
    {
        *(("password",), ("passwd",), ("passphrase",), ("secret",), ("token",), ("auth",)),
        *(("credential",), ("credentials",), ("apikey",), ("authtoken",), ("passcode",)),
        *((word, "key") for word in _KEYS),
        *((word, "keys") for word in _KEYS),
    }
)
#: First words that mark a number: ``max_token``.
_QUANTITIES = {"max", "min", "num", "n", "count", "total"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def is_secret(name: str) -> bool:
    """Whether the argument of this name is a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    last = {tuple(words[-1:]), tuple(words[-2:])}
    return bool(last & NAMES) and words[0] not in _QUANTITIES


def hide(env_args: Mapping[str, Any]) -> dict[str, Any]:
    """Encodes arguments and moves the secrets among them to environment variables.

    The variable of a string holds the string itself, so that a user can export it again; other
    values are JSON in a variable whose name ends in ``_JSON``.

    Raises:
        BadInput: an argument cannot be encoded, see :func:`rltune.envs.arguments.encode`.
    """
    taken: dict[str, str] = {}
    hidden: dict[str, Any] = _hidden(encode(env_args), (), taken)
    os.environ.update(taken)
    return hidden


def _hidden(value: Any, path: tuple[str, ...], taken: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_hidden(item, path, taken) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get(TAG) in ("dict", "ordereddict"):  # pairs, for keys that are not strings
        pairs = [[key, _kept(key, item, path, taken)] for key, item in value["value"]]
        return {**value, "value": pairs}
    return {key: _kept(key, item, path, taken) for key, item in value.items()}


def _kept(key: Any, value: Any, path: tuple[str, ...], taken: dict[str, str]) -> Any:
    """Returns what is saved for a value under a key."""
    if not isinstance(key, str):
        return _hidden(value, path, taken)
    if is_secret(key) and _holds(value):
        return _placeholder((*path, key), value, taken)
    form = TAG, "value", "fields"  # keys of an encoded value, not of the user's
    return _hidden(value, path if key in form else (*path, key), taken)


def _holds(value: Any) -> bool:
    """Whether a value can be secret: flags, empty values and placeholders cannot."""
    if isinstance(value, str) and value.startswith("$" + SECRET_PREFIX):
        return False
    return not isinstance(value, bool | None) and value not in ("", [], {})


def _placeholder(path: tuple[str, ...], value: Any, taken: dict[str, str]) -> str:
    name = SECRET_PREFIX + "_".join(re.sub(r"\W", "_", part).upper() for part in path)
    suffix, text = ("", value) if isinstance(value, str) else (JSON_SUFFIX, json.dumps(value))
    number, variable = 1, name + suffix
    while taken.get(variable, text) != text:  # api-key and api_key
        number += 1
        variable = f"{name}_{number}{suffix}"
    taken[variable] = text
    return f"${variable}"


def redact(command: Sequence[str]) -> list[str]:
    """Replaces the values of secret environment arguments in a command line by ``***``."""
    return [_redacted(word) for word in command]


def _redacted(word: str) -> str:
    option, equals, _ = word.partition("=")
    start = f"{option}{equals}" if equals and option.startswith("--") else ""
    key, equals, value = word.removeprefix(start).partition("=")
    named = [key, *re.findall(r"([\w-]+)[\"']?\s*[=:]", value)]  # db={password="x"}
    return f"{start}{key}=***" if equals and any(map(is_secret, named)) else word
