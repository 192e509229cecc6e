"""The text of a run folder's JSON files: infinite numbers, and the texts that look like them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from rltune import schema


def dumps(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON that every reader takes: an infinite number is the text "inf", NaN is null.

    A text that reads so is marked by a backslash before it.
    """
    return json.dumps(_plain(values), indent=indent, allow_nan=False)


def loads(text: str, wanted: Any = Any) -> Any:
    """The inverse of :func:`dumps`.

    Args:
        wanted: the type of the contents. A text without a mark stays one where the type says that
            it is a text; elsewhere "inf" is the number.
    """
    value = json.loads(text)
    # Most lines hold no such text: looking into every value takes longer than reading them.
    return _revive(value, wanted) if 'inf"' in text or "\\u" in text else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return f"\\{value}" if _reads_as_infinite(value) else value


def _reads_as_infinite(value: Any) -> bool:
    """Whether a value is a text that would be taken for a number, or for such a text."""
    return isinstance(value, str) and value.lstrip("\\") in ("inf", "-inf")


def _revive(value: Any, wanted: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revive(item, schema.entry(wanted, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_revive(item, schema.entry(wanted, i)) for i, item in enumerate(value)]
    if not _reads_as_infinite(value):
        return value
    if value.startswith("\\"):
        return value[1:]
    return value if schema.is_text(wanted) else float(value)
