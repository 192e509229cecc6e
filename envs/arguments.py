"""Encodes environment arguments as JSON that keeps their types.

JSON's own values are kept unchanged. Any other is ``{"$rltune": kind, "value": ...}``: a tuple is
``{"$rltune": "tuple", "value": [3, 4]}``, a function ``{"$rltune": "object", "value":
"my_module:reward"}``. A run saves its arguments in this form; they are decoded only where the
environment is made, because an import path in them can run code.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from rltune.envs.places import find, place_of

from rltune.errors import BadInput

#: Key that marks a value that JSON has no form for.
TAG = "$rltune"
#: Prefix of the environment variables that hold secret environment arguments.
SECRET_PREFIX = "RLTUNE_SECRET_"
#: Suffix of those whose value is JSON in this module's form instead of plain text.
JSON_SUFFIX = "_JSON"


class Kind(NamedTuple):
    """How one kind of value is split into simpler values (apart) and rebuilt (together)."""

    name: str
    apart: Callable[[Any], Any]
    together: Callable[[Any], Any]


def _to_base64(value: Any) -> str:
    return base64.b64encode(value).decode()


def _to_npy(array: Any) -> str:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version=(3, 0), allow_pickle=False)
    return _to_base64(file.getvalue())


def _from_npy(text: str) -> Any:
    return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)


def _dataclass(value: Any) -> dict[str, Any]:
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return {"class": place_of(type(value)), "fields": fields}


def _to_dataclass(body: dict[str, Any]) -> Any:
    made_of, fields = find(body["class"]), body["fields"]
    value = made_of(**{f.name: fields[f.name] for f in dataclasses.fields(made_of) if f.init})
    for name, field in fields.items():  # undoes changes by __post_init__
        object.__setattr__(value, name, field)
    return value


def _enum(value: Enum) -> dict[str, Any]:
    known = type(value).__members__.get(value.name or "")
    by = {"name": value.name} if known is value else {"value": value.value}  # a Flag of several
    return {"class": place_of(type(value)), **by}


def _to_enum(body: dict[str, Any]) -> Any:
    members = find(body["class"])
    return members[body["name"]] if "name" in body else members(body["value"])


def _texts(*types: type) -> dict[type, Kind]:
    """Returns kinds whose constructor accepts their own ``str``."""
    return {each: Kind(each.__name__.lower(), str, each) for each in types}


def _sequences(*types: type) -> dict[type, Kind]:
    return {each: Kind(each.__name__, list, each) for each in types}


#: Kinds by the exact type of a value: a subclass would be restored as its base class.
EXACT: dict[type, Kind] = {
    **_sequences(tuple, set, frozenset),
    **_texts(Decimal, Fraction, UUID, PurePosixPath, PureWindowsPath),
    deque: Kind("deque", lambda v: [list(v), v.maxlen], lambda v: deque(*v)),
    OrderedDict: Kind("ordereddict", lambda v: [list(p) for p in v.items()], OrderedDict),
    type(Path()): Kind("path", str, Path),
    complex: Kind("complex", lambda v: [v.real, v.imag], lambda v: complex(*v)),
    range: Kind("range", lambda v: [v.start, v.stop, v.step], lambda v: range(*v)),
    bytes: Kind("bytes", _to_base64, base64.b64decode),
    bytearray: Kind("bytearray", _to_base64, lambda v: bytearray(base64.b64decode(v))),
    date: Kind("date", date.isoformat, date.fromisoformat),
    time: Kind("time", time.isoformat, time.fromisoformat),
    datetime: Kind("datetime", datetime.isoformat, datetime.fromisoformat),
    timedelta: Kind(
        "timedelta", lambda v: [v.days, v.seconds, v.microseconds], lambda v: timedelta(*v)
    ),
    np.ndarray: Kind("array", _to_npy, _from_npy),
    np.str_: Kind("str_", str, np.str_),  # an array would strip trailing null characters
    np.bytes_: Kind("bytes_", _to_base64, lambda v: np.bytes_(base64.b64decode(v))),
    partial: Kind(
        "partial",
        lambda v: [v.func, list(v.args), v.keywords],
        lambda v: partial(v[0], *v[1], **v[2]),
    ),
}
#: Kinds that cover part of a type's values, or many types.
FLOAT = Kind("float", str, float)
DICT = Kind("dict", lambda v: [list(pair) for pair in v.items()], dict)
SCALAR = Kind("scalar", _to_npy, lambda v: _from_npy(v)[()])
ENUM = Kind("enum", _enum, _to_enum)
NAMEDTUPLE = Kind(
    "namedtuple",
    lambda v: {"class": place_of(type(v)), "fields": dict(zip(v._fields, v, strict=True))},
    lambda v: find(v["class"])._make(v["fields"].values()),
)
DATACLASS = Kind("dataclass", _dataclass, _to_dataclass)
OBJECT = Kind("object", place_of, find)
#: None within a TOML table, which cannot express it.
NONE = Kind("none", lambda _: "", lambda _: None)
#: All arguments in one string, which Tune and RLlib do not search; see :func:`packed`.
PACKED = Kind("packed", json.dumps, json.loads)

KINDS = {
    kind.name: kind
    for kind in (*EXACT.values(), FLOAT, DICT, SCALAR, ENUM, NAMEDTUPLE, DATACLASS, OBJECT, NONE)
}
_UNORDERED = {"set", "frozenset"}


# --- encoding -----------------------------------------------------------------------------------


def encode(env_args: Mapping[str, Any]) -> dict[str, Any]:
    """Encodes the arguments of an environment; encoded values stay unchanged.

    Raises:
        BadInput: with every value that cannot be encoded, its key and the fix.
    """
    problems: list[str] = []
    names = [key for key in env_args if not isinstance(key, str)]
    problems += [f"env_args: {name!r} is no name of an argument" for name in names]
    encoded = {
        key: _encode(value, f'env_args["{key}"]', problems) for key, value in env_args.items()
    }
    if problems:
        raise BadInput(problems)
    return encoded


def _encode(value: Any, path: str, problems: list[str]) -> Any:
    try:
        return _encoded(value, path, problems)
    except RecursionError:
        problems.append(f"{path}: it is nested too deeply, or contains itself")
    except Exception as error:  # a user's class may raise anything
        problems.append(f"{path}: {error}")
    return None


def _encoded(value: Any, path: str, problems: list[str]) -> Any:
    if type(value) in (type(None), bool, int, str) or (
        type(value) is float and math.isfinite(value)
    ):
        return value
    if type(value) is list:
        return [_encode(item, f"{path}[{i}]", problems) for i, item in enumerate(value)]
    if type(value) is dict and all(type(key) is str for key in value):
        return _table(value, path, problems)
    kind, before = _kind(value), len(problems)
    encoded = _tagged(kind, _encode(kind.apart(value), path, problems))
    if kind is DATACLASS and len(problems) == before and _again(encoded) != encoded:
        raise ValueError(f"a {type(value).__qualname__} made from its own fields is another one")
    return encoded


def _table(value: dict[str, Any], path: str, problems: list[str]) -> Any:
    if TAG not in value:
        return {k: _encode(item, f'{path}["{k}"]', problems) for k, item in value.items()}
    if not _is_tagged(value):
        raise ValueError(f"{TAG!r} is a key of rltune's own, for values of one of {sorted(KINDS)}")
    if value[TAG] == NONE.name:
        return None
    return _tagged(KINDS[value[TAG]], _encode(value["value"], path, problems))


def _again(encoded: dict[str, Any]) -> Any:
    """Decodes and encodes a dataclass again, to see whether it stays equal."""
    return _tagged(DATACLASS, _encode(_dataclass(_decode(encoded)), "", []))


def _is_tagged(value: dict[str, Any]) -> bool:
    return set(value) == {TAG, "value"} and value[TAG] in KINDS


def _tagged(kind: Kind, value: Any) -> dict[str, Any]:
    if kind.name in _UNORDERED:
        value = sorted(value or [], key=json.dumps)  # equal sets are equal texts
    return {TAG: kind.name, "value": value}


def _kind(value: Any) -> Kind:
    """Returns the kind of a value that JSON has no form for.

    Raises:
        ValueError: it cannot be encoded.
    """
    if type(value) in EXACT:
        _check_exact(value)
        return EXACT[type(value)]
    if type(value) is float:
        return FLOAT
    if type(value) is dict:
        return DICT
    if isinstance(value, Enum):
        return ENUM
    if isinstance(value, np.generic):
        return SCALAR
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return NAMEDTUPLE
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return DATACLASS
    if isinstance(value, type) or callable(value):
        return OBJECT
    raise ValueError(
        f"a value of type {type(value).__qualname__} cannot be kept in a file: give what it is "
        "made from, or make it a dataclass of a module"
    )


def _check_exact(value: Any) -> None:
    """Raises ValueError for a value that would not be restored exactly."""
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        raise ValueError("an array of objects cannot be kept in a file: give numbers or texts")
    zone = getattr(value, "tzinfo", None)
    if zone is not None and type(value).fromisoformat(value.isoformat()).tzinfo != zone:
        raise ValueError(f"the time zone {zone} cannot be kept in a file: give UTC")


# --- decoding -----------------------------------------------------------------------------------


def decode(env_args: Mapping[str, Any]) -> dict[str, Any]:
    """Decodes arguments, including secrets; imports the objects that they name.

    Values that are not JSON, as in a user's own Tuner, stay unchanged.

    Raises:
        BadInput: a secret's environment variable is not set.
        Exception: any exception that an imported module raises.
    """
    if env_args.get(TAG) == PACKED.name:
        env_args = PACKED.together(env_args["value"])
    return {key: _decode(value) for key, value in env_args.items()}


def _decode(value: Any) -> Any:
    if type(value) is str and value.startswith("$" + SECRET_PREFIX):
        return _secret(value[1:])
    if type(value) is list:
        return [_decode(item) for item in value]
    if type(value) is not dict:
        return value
    if _is_tagged(value):
        return KINDS[value[TAG]].together(_decode(value["value"]))
    return {key: _decode(item) for key, item in value.items()}


def _secret(variable: str) -> Any:
    if variable not in os.environ:
        raise BadInput(f"the environment needs a secret again: export {variable}=...")
    text = os.environ[variable]
    return _decode(json.loads(text)) if variable.endswith(JSON_SUFFIX) else text


# --- reading encoded arguments ----------------------------------------------------------


def packed(env_args: Mapping[str, Any]) -> dict[str, Any]:
    """Packs encoded arguments into one string: Tune and RLlib interpret keys in nested dicts."""
    return _tagged(PACKED, PACKED.apart(dict(env_args))) if env_args else {}


def canonical(env_args: Mapping[str, Any]) -> str:
    """Returns encoded arguments as one string, equal for equal arguments."""
    return json.dumps(env_args, sort_keys=True)


def walk(value: Any) -> Iterator[Any]:
    """Yields every value within encoded arguments, including tables and lists."""
    yield value
    inner = value.values() if isinstance(value, Mapping) else value
    for item in inner if isinstance(value, Mapping | list) else ():
        yield from walk(item)


def imported(env_args: Mapping[str, Any]) -> list[str]:
    """Lists what encoded arguments import when decoded: ``module:name`` or ``file.py:name``."""
    names = []
    for value in walk(env_args):
        if isinstance(value, Mapping) and isinstance(value.get(TAG), str):
            body = value.get("value")
            names += [body] if value[TAG] == OBJECT.name else []
            names += [body["class"]] if isinstance(body, Mapping) and "class" in body else []
    return list(dict.fromkeys(str(name) for name in names))


def secret_variables(env_args: Mapping[str, Any]) -> list[str]:
    """Lists the environment variables that hold the secrets of encoded arguments."""
    texts = [value for value in walk(env_args) if isinstance(value, str)]
    return [text[1:] for text in texts if text.startswith("$" + SECRET_PREFIX)]
