"""What races: a scheduler with a searcher."""

from __future__ import annotations

from dataclasses import dataclass

from rltune.errors import BadInput, unknown
from rltune.schedulers import SCHEDULERS, row
from rltune.searchers import READY, SEARCHERS

#: What other libraries call by the name of the library.
ALIASES = {"optuna": "tpe"}


@dataclass(frozen=True)
class Method:
    """A way to spend environment steps on a search.

    Attributes:
        name: as it was asked for: a scheduler, a searcher, or both as ``asha+tpe``.
    """

    name: str
    scheduler: str
    searcher: str

    @property
    def in_words(self) -> str:
        """What it does, for somebody who has never heard of it."""
        how = SCHEDULERS[self.scheduler].doc
        if self.scheduler == "fifo":
            return f"{SEARCHERS[self.searcher].doc}, each trial to its end"
        return how if self.searcher == "random" else f"{how}, settings by {self.searcher}"


def method(name: str) -> Method:
    """A method by its name.

    >>> method("random"), method("pbt").searcher, method("asha+tpe").searcher
    (Method(name='random', scheduler='fifo', searcher='random'), 'random', 'tpe')
    >>> method("optuna").searcher, method("bohb").scheduler, method("bohb").searcher
    ('tpe', 'bohb', 'bohb')

    Raises:
        BadInput: there is none, or this installation lacks it.
    """
    first, both, second = name.partition("+")
    first, second = ALIASES.get(first, first), ALIASES.get(second, second)
    if both:
        scheduler, searcher = first, second
    else:  # a name in both tables is that of both together
        scheduler = first if first in SCHEDULERS or first not in SEARCHERS else "fifo"
        searcher = first if first in SEARCHERS else "random"
    if scheduler not in SCHEDULERS:
        raise unknown("method", first, {*SCHEDULERS, *SEARCHERS})
    if searcher not in SEARCHERS:
        raise unknown("searcher", searcher, SEARCHERS, f" It stands in the method {name}.")
    for what, state in (
        (scheduler, row(scheduler).state),
        (searcher, SEARCHERS[searcher].state),
    ):
        if state != READY:
            raise BadInput(f"methods: {name} is not ready here: {what}: {state}")
    return Method(name, scheduler, searcher)


def methods(names: list[str]) -> list[Method]:
    """The methods of a race.

    Raises:
        BadInput: fewer than two, one of them twice, or as :func:`method`.
    """
    found = [method(name) for name in names]
    pairs = [(one.scheduler, one.searcher) for one in found]
    if twice := [one.name for n, one in enumerate(found) if pairs[n] in pairs[:n]]:
        raise BadInput(f"methods: {', '.join(twice)} is named twice")
    if len(found) < 2:
        raise BadInput("methods: a race takes two of them or more, like random,asha,pbt")
    return found
