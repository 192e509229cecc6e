"""Searchers: the settings a trial starts with. One file each, one table.

A searcher's module has one function, ``build(spec) -> Searcher``. Adding one is a new file and a
row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from rltune.errors import unknown
from rltune.spec import RunSpec

SEARCHERS: dict[str, str] = {
    "random": "the preset's defaults first, then random draws, each on its parameter's own scale",
    "sobol": "a scrambled Sobol sequence: covers the space more evenly than random draws",
}


class Searcher(Protocol):
    """Chooses settings, one trial after the other."""

    def suggest(self) -> dict[str, Any]:
        """The searched settings of the next trial."""

    def completed(self, values: Mapping[str, Any], score: float | None) -> None:
        """A trial that started with ``values`` has ended.

        Args:
            score: larger is better; None where it has none.
        """

    def get_state(self) -> dict[str, Any]:
        """Everything that later suggestions depend on, as JSON holds it."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where :meth:`get_state` was called."""


def check(name: str) -> None:
    """Raises BadInput when there is no such searcher; names the nearest."""
    if name not in SEARCHERS:
        raise unknown("searcher", name, SEARCHERS)


def build(spec: RunSpec) -> Searcher:
    """The searcher that a run asks for."""
    check(spec.budget.searcher)
    searcher: Searcher = import_module(f"rltune.searchers.{spec.budget.searcher}").build(spec)
    return searcher


def starting_point(spec: RunSpec, searcher: Searcher, index: int) -> dict[str, Any]:
    """Settings and seed of a new trial.

    A given point while there is one, then the searcher's.
    """
    if index < len(spec.points):
        defaults = {name: spec.settings[name] for name in spec.space}
        searched = {**defaults, **spec.points[index]}
    else:
        searched = searcher.suggest()
    return {**spec.settings, **searched, "seed": spec.trial_seed(index)}
