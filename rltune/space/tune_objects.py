"""Domains of Ray Tune, ``tune.uniform(0, 1)``, as parameters of rltune.

Ray is not imported here: a caller with such an object has imported it already. The bounds are those
that Tune draws from (ray.tune.search.sample, 2.60): upper bounds of ``randint`` and ``lograndint``
are exclusive, those of quantised integers inclusive unless the step is 1, and the values of a
quantised integer are the multiples of the step within its bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

MODULE = "ray.tune.search.sample"
#: Kinds by domain and sampler of Tune, and the functions that make them, for messages.
_KINDS = {
    ("Float", "_Uniform"): "uniform",
    ("Float", "_LogUniform"): "log",
    ("Float", "_Normal"): "normal",
    ("Integer", "_Uniform"): "int",
    ("Integer", "_LogUniform"): "log_int",
    ("Categorical", "_Uniform"): "choice",
    ("Categorical", "Grid"): "grid",
}


def is_searched(value: object) -> bool:
    """Returns whether a value is one of Tune's domains, or what ``tune.grid_search`` returns."""
    if isinstance(value, Mapping):
        return list(value) == ["grid_search"]
    return any(
        (kind.__module__, kind.__name__) == (MODULE, "Domain") for kind in type(value).__mro__
    )


def is_function(value: Any) -> bool:
    """Returns whether a value is what ``tune.sample_from`` returns."""
    return _name(value) == "Function"


def body_of(value: Any) -> dict[str, Any]:
    """Returns a domain as it is written in TOML.

    Raises:
        ValueError: rltune has no such domain; the message says why.
    """
    if isinstance(value, Mapping):
        return {"grid": value["grid_search"]}
    sampler, step = value.get_sampler(), None
    if _name(sampler) == "Quantized":
        sampler, step = sampler.sampler, sampler.q
    kind = _KINDS.get((_name(value), _name(sampler)))
    if kind is None:
        raise ValueError(
            f"{type(value).__name__} with the sampler {type(sampler).__name__} is none of Tune's "
            "own; use one of them, or a choice"
        )
    if kind in ("choice", "grid"):
        return {kind: value.categories}
    if kind == "normal":
        return _body(kind, sampler.mean, sampler.sd, step)
    if kind in ("int", "log_int"):
        return _body(kind, *_whole(value, step))
    return _body(kind, *_floats(value, step))


def _body(kind: str, low: Any, high: Any, step: Any) -> dict[str, Any]:
    quantised = step is not None and (kind == "normal" or low != high)
    return {kind: [low, high], **({"step": step} if quantised else {})}


def _name(value: object) -> str:
    """Returns the name of a class of Tune's, an empty text for any other."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == MODULE else ""


def _whole(value: Any, step: Any) -> tuple[Any, Any, Any]:
    """Returns the bounds, both included, and the step of an integer domain."""
    low, high = value.lower, value.upper
    if step is None or step == 1:
        low, high, step = math.ceil(low), math.ceil(high) - 1, None
    else:
        step = _integral(step)
        low, high = math.ceil(low / step) * step, math.floor(high / step) * step
    if low > high:
        raise ValueError(
            f"there is no value between {value.lower} and {value.upper}: an upper bound is "
            "exclusive unless the step is above 1"
        )
    return low, high, step


def _floats(value: Any, step: Any) -> tuple[Any, Any, Any]:
    """Returns bounds and step of a range of floats, each bound a multiple of the step."""
    low, high = value.lower, value.upper
    if step is not None and all(map(math.isfinite, (low, high))):
        low, high = _multiple(low, step, math.ceil), _multiple(high, step, math.floor)
    return low, high, step


def _multiple(bound: float, step: float, inwards: Callable[[float], int]) -> float:
    whole = math.isclose(bound / step, round(bound / step))
    return bound if whole else inwards(bound / step) * step


def _integral(step: Any) -> int:
    if step != int(step) or step <= 0:
        raise ValueError(f"the step of an integer must be a whole number above 0, got {step}")
    return int(step)
