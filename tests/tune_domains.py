"""Functions that Tune's sample_from takes, at the top of a module as a user's are."""

from __future__ import annotations

import random
from typing import Any

import numpy as np


def double(config: dict[str, Any]) -> int:
    return int(config["model"]["hidden"] * 2)


def of_spec(spec: Any) -> float:
    return float(spec.config.lr * spec["config"]["model"]["hidden"])


def of_double(config: Any) -> int:
    return int(config.doubled + 1)


def of_nothing() -> str:
    return "fixed"


def drawn(config: dict[str, Any]) -> float:
    return random.random() + float(np.random.uniform(0, config["lr"]))  # noqa: NPY002


def circle(config: dict[str, Any]) -> int:
    return int(config["circle_too"])


def circle_too(config: dict[str, Any]) -> int:
    return int(config.get("circle"))


def missing(config: dict[str, Any]) -> int:
    return int(config["learning_rate"])


def opened(config: dict[str, Any]) -> object:
    return open  # no value that JSON holds
