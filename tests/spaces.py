"""Search spaces that tests share: every kind of parameter, with constraints between them."""

from __future__ import annotations

from rltune.space import Constraint, Space, parse_parameter

EXAMPLES = {
    "uniform": {"uniform": [0.1, 0.5]},
    "log": {"log": [1e-5, 1e-2]},
    "one_minus_log": {"one_minus_log": [0.9, 0.9999]},
    "int": {"int": [3, 11]},
    "pow2": {"pow2": [16, 256]},
    "choice": {"choice": ["relu", "tanh", "silu"]},
}


def constrained_space() -> Space:
    """Every kind, and constraints between them and with ``settled``, which no search changes."""
    bodies = {
        **EXAMPLES,
        "signed": {"uniform": [-1.0, 1.0]},
        "from_zero": {"int": [0, 20]},
        "batch": {"pow2": [16, 256]},
        "epochs": {"choice": [1, 2, 4, 8, 16]},
        "flag": {"choice": [True, False]},
        "only": {"choice": ["one"]},
    }
    return Space(
        {name: parse_parameter(name, body) for name, body in bodies.items()},
        (
            Constraint.parse("pow2 <= batch"),
            Constraint.parse("settled * 2 divides batch"),
            Constraint.parse("epochs * 2 <= from_zero * 4"),
            Constraint.parse("epochs divides settled"),
        ),
    )
