"""Values as TOML writes them: what a preset file and the command line read back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def written(value: Any) -> str:
    """A number, text, flag, list or table on one line.

    Raises:
        ValueError: TOML has no such value.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)  # inf and nan too
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, Mapping):
        pairs = [f"{_key(key)} = {written(item)}" for key, item in value.items()]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    raise ValueError(f"TOML has no form for {value!r}")


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """JSON's escapes are TOML's, but for the delete character; half a character has none."""
    text.encode()  # raises UnicodeEncodeError, a ValueError
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
