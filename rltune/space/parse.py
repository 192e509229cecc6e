"""Parameters from their TOML form, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rltune.errors import BadInput, did_you_mean
from rltune.space.parameters import KINDS, Parameter
from rltune.space.values import is_number, is_pow2


def parse_parameter(name: str, body: object) -> Parameter:
    """Builds a parameter from its TOML form.

    >>> parse_parameter("lr", {"log": [1e-5, 1e-2], "default": 1e-3})
    Log(default=0.001, low=1e-05, high=0.01)
    >>> parse_parameter("fcnet_activation", {"choice": ["relu", "tanh"]}).neighbours("relu")
    ('relu', 'tanh')

    Raises:
        BadInput: with every problem of this parameter, each starting with its name.
    """
    if not isinstance(body, Mapping):
        raise BadInput(f"{name}: expected a table like {{ log = [1e-5, 1e-2] }}, got {body!r}")
    kinds = [key for key in body if key != "default"]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        wrong = next((k for k in kinds if k not in KINDS), "")
        hint = did_you_mean(wrong, KINDS) if wrong else ""
        raise BadInput(
            f"{name}: expected exactly one kind of {', '.join(KINDS)}, got {kinds}.{hint}"
        )
    kind, domain = kinds[0], body[kinds[0]]
    problems = _choice_problems(domain) if kind == "choice" else _range_problems(kind, domain)
    if problems:
        raise BadInput([f"{name}: {problem}" for problem in problems])
    default = body.get("default")
    arguments = (tuple(domain),) if kind == "choice" else _bounds(kind, domain)
    parameter: Parameter = KINDS[kind](*arguments, default=default)
    if default is not None and not parameter.contains(default):
        raise BadInput(f"{name}: default {default!r} lies outside {kind} = {list(domain)}")
    return parameter


def _bounds(kind: str, domain: Sequence[float]) -> tuple[float, float]:
    low, high = domain
    return (low, high) if kind in {"int", "pow2"} else (float(low), float(high))


def _choice_problems(options: object) -> list[str]:
    if not isinstance(options, list | tuple) or not options:
        return ["a choice needs a list of at least one option, like { choice = ['relu', 'tanh'] }"]
    if len({repr(option) for option in options}) != len(options):
        return [f"choice = {list(options)} lists an option twice"]
    return []


def _range_problems(kind: str, domain: object) -> list[str]:
    if not isinstance(domain, list | tuple) or len(domain) != 2:
        return [f"{kind} needs two numbers, [low, high], got {domain!r}"]
    if not all(is_number(bound) for bound in domain):
        return [f"{kind} = {list(domain)}: both bounds must be numbers"]
    if not all(math.isfinite(bound) for bound in domain):
        return [f"{kind} = {list(domain)}: both bounds must be finite"]
    low, high = domain
    problems = []
    if low > high:
        problems.append(f"{kind} = [{low}, {high}] is reversed: write [{high}, {low}]")
    if kind == "log" and low <= 0:
        problems.append(f"log = [{low}, {high}]: a log scale needs low > 0")
    if kind == "one_minus_log" and not (low >= 0 and high < 1):
        problems.append(f"one_minus_log = [{low}, {high}]: both bounds must lie in [0, 1)")
    if kind in {"int", "pow2"} and not all(isinstance(bound, int) for bound in domain):
        problems.append(f"{kind} = [{low}, {high}]: both bounds must be whole numbers")
    elif kind == "pow2" and not all(is_pow2(bound) for bound in domain):
        problems.append(f"pow2 = [{low}, {high}]: both bounds must be powers of two")
    return problems
