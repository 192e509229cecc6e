"""Search spaces that tests share: every kind of parameter, with constraints between them."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import strategies as st

from rltune.space import Constraint, Space, parse_parameter

#: Draws that must each lie in a space and keep its constraints; 100,000 for the full proof.
DRAWS = int(os.environ.get("RLTUNE_DRAWS", "5000"))

EXAMPLES: dict[str, dict[str, Any]] = {
    "uniform": {"uniform": [0.1, 0.5]},
    "log": {"log": [1e-5, 1e-2]},
    "one_minus_log": {"one_minus_log": [0.9, 0.9999]},
    "normal": {"normal": [0.3, 0.1]},
    "int": {"int": [3, 11]},
    "log_int": {"log_int": [3, 300]},
    "pow2": {"pow2": [16, 256]},
    "choice": {"choice": ["relu", "tanh", "silu"]},
    "grid": {"grid": [0, 1]},
}

#: A parameter of every kind, among the settings of ppo.
OF_PPO: dict[str, dict[str, Any]] = {
    "lr": {"log": [1e-4, 1e-3]},
    "gamma": {"one_minus_log": [0.9, 0.99]},
    "clip_param": {"uniform": [0.1, 0.3], "step": 0.05},
    "vf_loss_coeff": {"normal": [0.5, 0.05]},
    "num_epochs": {"int": [5, 20]},
    "minibatch_size": {"pow2": [64, 256]},
    "metrics_num_episodes_for_smoothing": {"log_int": [10, 100]},
    "use_kl_loss": {"choice": [True, False]},
    "fcnet_activation": {"grid": ["relu", "tanh"]},
}

#: Those that can be quantised.
QUANTISED: dict[str, dict[str, Any]] = {
    "uniform": {"uniform": [0.1, 0.5], "step": 0.05},
    "log": {"log": [0.01, 1.0], "step": 0.01},
    "one_minus_log": {"one_minus_log": [0.9, 0.99], "step": 0.01},
    "normal": {"normal": [0.3, 0.1], "step": 0.25},
    "int": {"int": [3, 12], "step": 2},
    "log_int": {"log_int": [8, 512], "step": 8},
}


def constrained_space() -> Space:
    """Every kind, and constraints between them and with ``settled``, which no search changes."""
    bodies = {
        **EXAMPLES,
        "quantised": QUANTISED["log"],
        "stepped": QUANTISED["int"],
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


def _numbers(low: float, high: float) -> st.SearchStrategy[list[float]]:
    number = st.floats(low, high, allow_subnormal=False)
    return st.lists(number, min_size=2, max_size=2).map(sorted)


def _whole(low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=2, max_size=2).map(sorted)


_OPTIONS = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())
_DOMAINS: dict[str, st.SearchStrategy[Any]] = {
    "uniform": _numbers(-1e6, 1e6),
    "log": _numbers(1e-12, 1e6),
    "one_minus_log": _numbers(0.0, 1.0 - 1e-9),
    "normal": st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)).map(list),
    "int": _whole(-(10**6), 10**6),
    "log_int": _whole(1, 10**6),
    "pow2": _whole(0, 20).map(lambda ends: [2**end for end in ends]),
    "choice": st.lists(_OPTIONS, min_size=1, max_size=5, unique_by=repr),
    "grid": st.lists(_OPTIONS, min_size=1, max_size=5, unique_by=repr),
}


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, Any]:
    """A parameter of any kind, as it is written in TOML; quantised where it can be."""
    kind = draw(st.sampled_from(sorted(EXAMPLES)))
    domain = draw(_DOMAINS[kind])
    body = {kind: domain}
    if kind in QUANTISED and domain[1] > domain[0] and draw(st.booleans()):
        width = domain[1] if kind == "normal" else domain[1] - domain[0]
        steps = draw(st.integers(1, 50))
        step = width / steps
        body["step"] = step if isinstance(domain[0], float) else max(1, int(step))
    return body
