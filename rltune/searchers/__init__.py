"""Searchers: the settings a trial starts with. One file each, one table.

A searcher's module has one function, ``build(spec) -> ray.tune Searcher``. Adding one is a new
file and a row here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rltune.errors import unknown
from rltune.spec import RunSpec

SEARCHERS: dict[str, str] = {
    "random": "the preset's defaults first, then random draws, each on its parameter's own scale",
}


def check(name: str) -> None:
    """Raises BadInput when there is no such searcher; names the nearest."""
    if name not in SEARCHERS:
        raise unknown("searcher", name, SEARCHERS)


def build(spec: RunSpec) -> Any:
    """The Tune searcher that a run asks for, as Tune drives it."""
    check(spec.budget.searcher)
    searcher = import_module(f"rltune.searchers.{spec.budget.searcher}").build(spec)
    return import_module("rltune.searchers.patient").PatientSearch(searcher)
