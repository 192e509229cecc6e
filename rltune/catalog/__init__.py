"""A name -> preset, environment, algorithm. Wrong names are answered with the nearest right one."""

from __future__ import annotations

from rltune.catalog.algorithms import ALGORITHMS, algorithm
from rltune.catalog.environments import environment, newer_version
from rltune.catalog.presets import (
    landscape_path,
    landscapes,
    override,
    parameter,
    preset,
    preset_names,
    shipped_path,
)

__all__ = [
    "ALGORITHMS",
    "algorithm",
    "environment",
    "landscape_path",
    "landscapes",
    "newer_version",
    "override",
    "parameter",
    "preset",
    "preset_names",
    "shipped_path",
]
