"""Parameters from their TOML form, checked."""

from __future__ import annotations

from collections.abc import Mapping

from rltune.errors import BadInput, did_you_mean
from rltune.space.choices import Choice, Grid
from rltune.space.floats import Log, Normal, OneMinusLog, Uniform
from rltune.space.integers import Int, LogInt, Pow2
from rltune.space.parameter import Parameter

KINDS: dict[str, type[Parameter]] = {
    kind.kind: kind for kind in (Uniform, Log, OneMinusLog, Normal, Int, LogInt, Pow2, Choice, Grid)
}
#: Keys of a parameter's table beside its kind.
OPTIONAL = ("default", "step")


def parse_parameter(name: str, body: object) -> Parameter:
    """Builds a parameter from its TOML form.

    >>> parse_parameter("lr", {"log": [1e-5, 1e-2], "default": 1e-3})
    Log(default=0.001, step=None, low=1e-05, high=0.01)
    >>> parse_parameter("dropout", {"uniform": [0, 0.5], "step": 0.1}).neighbours(0.2)
    (0.1, 0.3)
    >>> parse_parameter("fcnet_activation", {"choice": ["relu", "tanh"]}).neighbours("relu")
    ('relu', 'tanh')

    Raises:
        BadInput: with every problem of this parameter, each starting with its name.
    """
    if not isinstance(body, Mapping):
        raise BadInput(f"{name}: expected a table like {{ log = [1e-5, 1e-2] }}, got {body!r}")
    kinds = [key for key in body if key not in OPTIONAL]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        wrong = next((k for k in kinds if k not in KINDS), "")
        hint = did_you_mean(wrong, KINDS) if wrong else ""
        raise BadInput(
            f"{name}: expected exactly one kind of {', '.join(KINDS)}, got {kinds}.{hint}"
        )
    kind, domain, step = KINDS[kinds[0]], body[kinds[0]], body.get("step")
    problems = kind.problems(domain, step)
    if step is not None and not kind.takes_step:
        problems.append(f"{kind.kind} takes no step")
    if problems:
        raise BadInput([f"{name}: {problem}" for problem in problems])
    default = body.get("default")
    fields = {"default": default, "step": step}
    parameter = kind.of(domain, **{key: v for key, v in fields.items() if v is not None})
    if default is not None and not parameter.contains(default):
        raise BadInput(f"{name}: default {default!r} lies outside {parameter}")
    return parameter
