"""Searchers: the settings a trial starts with. One file each, one table.

A searcher's module has one function, ``build(spec) -> Searcher``. Adding one is a new file and a
row here: the command line's help and lists, and the contract tests, follow from the table.
Importing the table loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from rltune.errors import unknown

if TYPE_CHECKING:
    from rltune.spec import RunSpec

SEARCHERS: dict[str, str] = {
    "random": "the preset's defaults first, then random draws, each on its parameter's own scale",
    "sobol": "a scrambled Sobol sequence: covers the space more evenly than random draws",
}


class Searcher(Protocol):
    """Chooses the settings that trials start with, one trial after the other.

    A searcher is built from a :class:`rltune.spec.RunSpec`: ``spec.space`` says what is searched,
    ``spec.settings`` holds every setting that is not, ``spec.seed`` seeds all random draws. It is
    asked for one suggestion after the other; trials that it suggested may end in between, in any
    order. Points that a user gives come first, and the searcher never hears of them until they end.

    ``tests/searchers/test_searcher_contract.py`` holds every searcher of the table to this:

    - *Space*: a suggestion has exactly the names in ``spec.space``, lies in it and keeps its
      constraints, which may also concern ``spec.settings``.
    - *Determined*: the same seed and the same calls give the same suggestions.
    - *Saved state*: a searcher that is built again and given its saved state suggests what the
      first one would have.

    A searcher that does not learn from results is a
    :class:`rltune.searchers.counting.CountingSearcher` with one method.

    Example:
        >>> from rltune.request.resolve import make_spec
        >>> searcher = build(make_spec("ppo", "cartpole", searcher="random"))
        >>> values = searcher.suggest()
        >>> searcher.completed(values, score=21.0)
    """

    def suggest(self) -> dict[str, Any]:
        """The searched settings of the next trial.

        Raises:
            BadInput: no values keep the constraints of the space.
        """

    def completed(self, values: Mapping[str, Any], score: float | None) -> None:
        """Notifies of a trial's end.

        Args:
            values: the searched settings that it started with, as :meth:`suggest` returned them
                or as a user gave them.
            score: its last one, larger is better; None where it has none, or failed.
        """

    def get_state(self) -> dict[str, Any]:
        """Everything that later suggestions depend on, as JSON holds it."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues exactly where :meth:`get_state` was called."""


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
