"""Reads what a user writes for an option: each raises ValueError with what is wrong."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

#: Letters behind a number of steps, and behind a time.
_MULTIPLES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
#: Digits of the largest whole number that is read.
_DIGITS = 18


def as_whole(text: str) -> int:
    """A whole number, from a text like ``100_000``, ``100,000``, ``1e5``, ``100k`` or ``0.5M``.

    Raises:
        ValueError: it is none.
    """
    grouped = re.fullmatch(r"\d{1,3}(,\d{3})+", text)
    amount, letters = _amount(text.replace(",", "") if grouped else text)
    if amount is None or letters not in _MULTIPLES:
        raise ValueError(f"must be a whole number, like 1000, 1e5 or 100k, got {text!r}")
    if amount and amount.adjusted() >= _DIGITS:
        raise ValueError(f"must be below 1e{_DIGITS}, got {text!r}")
    amount *= _MULTIPLES[letters]
    if amount != int(amount):
        comes_to = f", which is {amount.normalize():f}" if letters else ""
        raise ValueError(f"must be a whole number, got {text!r}{comes_to}")
    return int(amount)


def as_number(text: str) -> float:
    """A number, from a text like ``0.5``, ``1e-3`` or ``inf``.

    Raises:
        ValueError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        advice = ": write a point" if "," in text else ""
        raise ValueError(f"must be a number, like 0.5 or 1e-3, got {text!r}{advice}") from None


def as_seconds(text: str) -> float:
    """Seconds, from a text like ``90``, ``90s``, ``10m``, ``2h`` or ``inf``.

    Raises:
        ValueError: it is no time.
    """
    amount, letters = _amount(text)
    if amount is not None and letters in _SECONDS:
        return float(amount * _SECONDS[letters])
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be seconds, or like 90s, 10m or 2h, got {text!r}") from None


def _amount(text: str) -> tuple[Decimal | None, str]:
    """The number that a text begins with, and the letters behind it; None if there is none."""
    found = re.fullmatch(r"([+-]?[\d._]+(?:e[+-]?\d+)?)\s*([a-z]*)", text.strip(), re.IGNORECASE)
    try:
        return (Decimal(found[1]), found[2].lower()) if found else (None, "")
    except InvalidOperation:
        return None, ""


def as_bytes(size: int | str) -> int:
    """A size in bytes, from a number or a text like ``2GiB`` or ``500MB``.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(size, str):
        return size
    found = re.fullmatch(r"([\d.]+)\s*([KMGT]?)(i?)B?", size.strip(), re.IGNORECASE)
    try:
        amount = float(found[1]) if found else -1.0
    except ValueError:
        amount = -1.0
    if found is None or amount < 0:
        raise ValueError(f"{size!r} is no size: write it like 2GiB or 500MB")
    return int(amount * (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper() or " "))


def as_batch(batch: int | str) -> str:
    """``auto``, ``off`` or a whole number from 1, as a text.

    Raises:
        ValueError: it is none.
    """
    found = str(batch)
    if found in ("auto", "off") or (found.isdecimal() and int(found) >= 1):
        return found
    raise ValueError(f"{batch!r} must be auto, off or a whole number from 1")


def as_table(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A dict as it is; an empty one for None.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, Mapping | None):
        raise ValueError(f"must be a dict, got {value!r}")
    return value or {}


def as_names(value: Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple.

    Raises:
        ValueError: it is one text, or holds something else.
    """
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"must be a list of names, got {value!r}")
    return tuple(value)


def as_loggers(value: str | Sequence[str]) -> tuple[str, ...]:
    """Names of experiment trackers, each once; ``tensorboard``, which is always written, is none.

    Raises:
        ValueError: it is, or holds, something else than texts.
    """
    words = as_names([value] if isinstance(value, str) else value)
    names = [name.strip() for word in words for name in word.split(",")]
    if "" in names:
        raise ValueError(f"holds an empty name, got {value!r}")
    return tuple(dict.fromkeys(name for name in names if name != "tensorboard"))


def as_objectives(value: str | Sequence[str]) -> tuple[str, ...]:
    """Metrics as a tuple, of a list or of a text like ``accuracy,-latency``.

    Raises:
        ValueError: it is, or holds, something else; or two of them are of one metric.
    """
    if not isinstance(value, Sequence):
        raise ValueError(f"must be a list of names, got {value!r}")
    words = as_names([value] if isinstance(value, str) else value)
    objectives = tuple(word.strip() for text in words for word in text.split(","))
    names = [objective.removeprefix("-").strip() for objective in objectives]
    if wrong := [one for one, name in zip(objectives, names, strict=True) if name[:1] in ("", "-")]:
        raise ValueError(
            f"must be metrics, with - where smaller is better, like accuracy,-latency; got "
            f"{wrong[0]!r} in {','.join(objectives)!r}"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"has {' and '.join(twice)} twice, got {','.join(objectives)!r}: name each metric once"
        )
    return tuple(
        f"-{name}" if objective.startswith("-") else name
        for objective, name in zip(objectives, names, strict=True)
    )


def as_paths(value: str | Path | Sequence[str | Path]) -> tuple[str | Path, ...]:
    """Paths as a tuple; one by itself will do.

    Raises:
        ValueError: it is, or holds, something else.
    """
    paths = (value,) if isinstance(value, str | Path) else tuple(value)
    if not all(isinstance(path, str | Path) for path in paths):
        raise ValueError(f"must be a list of paths, got {value!r}")
    return paths


def as_points(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Points as tables; a path among them stands for the points in its file.

    A file is TOML with ``points = [{ lr = 1e-3 }]``, or JSON with a list of tables.

    Raises:
        ValueError: a file cannot be read, or something is neither a table nor a path.
    """
    points: list[Mapping[str, Any]] = []
    for point in (value,) if isinstance(value, str | Path | Mapping) else tuple(value):
        if isinstance(point, Mapping):
            points.append(point)
        elif isinstance(point, str | Path):
            points += _points_in(Path(point).expanduser())
        else:
            raise ValueError(f"must be tables as {{lr=1e-3}}, or files of them, got {point!r}")
    return tuple(points)


def _points_in(file: Path) -> list[Mapping[str, Any]]:
    is_json = file.suffix == ".json"
    try:
        text = file.read_text(encoding="utf-8")
        found = json.loads(text) if is_json else tomllib.loads(text).get("points")
    except OSError as error:
        raise ValueError(f"{str(file)!r}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{str(file)!r} is no text") from None
    except ValueError as error:
        kind = "JSON" if is_json else "TOML (JSON is read from a file that ends in .json)"
        raise ValueError(f"{str(file)!r} is no {kind}: {error}") from None
    if not (found and isinstance(found, list) and all(isinstance(p, Mapping) for p in found)):
        form = "[{...}, ...]" if is_json else "points = [{ lr = 1e-3 }]"
        raise ValueError(f"{str(file)!r} must hold a list of tables: {form}")
    return found
