"""The few of a learner's numbers that show how training goes, of the many that RLlib reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ray.rllib.core import ALL_MODULES

#: How RLlib's names of gradient norms begin and end; the optimiser's name is between them.
_GRADIENTS, _NORM = "gradients_", "_global_norm"
#: rltune's names by RLlib's. docs/tensorboard.md says what each is.
NAMES = {
    "policy_loss": "policy_loss",
    "vf_loss": "vf_loss",
    "qf_loss": "qf_loss",
    "alpha_loss": "alpha_loss",
    "alpha_value": "alpha",
    "entropy": "entropy",
    "mean_kl_loss": "kl",
    "vf_explained_var": "explained_variance",
    "qf_mean": "q_mean",
    "td_error_mean": "td_error",
}
#: Mean log-probability of SAC's actions: the entropy is its negative.
_LOG_PROBABILITY = "logps"


def norm_name(optimizer: str) -> str:
    """RLlib's name of the gradient norm of an optimiser."""
    return f"{_GRADIENTS}{optimizer}{_NORM}"


def learner_numbers(results: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers, from what RLlib's learners report; of several modules below their names.

    Numbers that are not finite are left out. Six digits are kept: a report is a line of a file.

    Args:
        results: of each module by its name, numbers by RLlib's names.
    """
    modules = {
        module: values
        for module, values in results.items()
        if module != ALL_MODULES and isinstance(values, Mapping)
    }
    few = {module: _few(values) for module, values in modules.items()}
    if len(few) == 1:
        return next(iter(few.values()))
    return {f"{module}/{name}": value for module, of in few.items() for name, value in of.items()}


def _few(values: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers of one module."""
    found = {NAMES[name]: float(value) for name, value in values.items() if name in NAMES}
    if _LOG_PROBABILITY in values:
        found["entropy"] = -float(values[_LOG_PROBABILITY])
    norms = [
        float(value)
        for name, value in values.items()
        if name.startswith(_GRADIENTS) and name.endswith(_NORM)
    ]
    if norms:
        found["gradient_norm"] = math.hypot(*norms)
    return {name: float(f"{value:.6g}") for name, value in found.items() if math.isfinite(value)}
