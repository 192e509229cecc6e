"""Which members of a population did better than another one, without looking at every member."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rltune.runs.names import number_of

Scores = tuple[float | None, ...]


@dataclass(frozen=True)
class _Place:
    """What a member is ranked by.

    Attributes:
        scores: at the end of each of its intervals.
        counts: whether others are compared with it.
    """

    scores: Scores
    counts: bool


class Ranking:
    """Members by their scores at every age.

    Two members are compared at the last age that both have reached, among equals the earlier one is
    above. To place a member takes a search in sorted lists: one of all that are as old as it, and
    one for each age at which younger ones are now.
    """

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        #: At each age, what members scored that have reached it, and of those the ones of that age.
        self._reached: dict[int, list[tuple[float, int]]] = {}
        self._newest: dict[int, list[tuple[float, int]]] = {}
        #: All members by their last score.
        self._order: list[tuple[float, int, str]] = []

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def put(self, name: str, scores: Scores, counts: bool) -> None:
        """Ranks a member, or ranks it again.

        Args:
            scores: at the end of each of its intervals.
            counts: whether it can be above another one; one that diverged cannot.
        """
        before, place = self._places.get(name), _Place(scores, counts)
        if before == place:
            return
        known = len(before.scores) if before and before.counts else 0
        if before and not (counts and known and scores[:known] == before.scores):
            self.remove(name)
            before, known = None, 0
        number = number_of(name)
        if before:
            self._unplace(before.scores, number, name)
            _drop(self._newest, known, _key(before.scores, known, number))
        self._places[name] = place
        insort(self._order, (as_score(scores[-1] if scores else None), number, name))
        if not counts:
            return
        for age in range(known + 1, len(scores) + 1):
            insort(self._reached.setdefault(age, []), _key(scores, age, number))
        if scores:
            age = len(scores)
            insort(self._newest.setdefault(age, []), _key(scores, age, number))

    def remove(self, name: str) -> None:
        """Ranks a member no more."""
        place = self._places.pop(name, None)
        if place is None:
            return
        scores, number = place.scores, number_of(name)
        self._unplace(scores, number, name)
        if not place.counts:
            return
        for age in range(1, len(scores) + 1):
            _drop(self._reached, age, _key(scores, age, number))
        if scores:
            _drop(self._newest, len(scores), _key(scores, len(scores), number))

    def _unplace(self, scores: Scores, number: int, name: str) -> None:
        last = as_score(scores[-1] if scores else None)
        del self._order[bisect_left(self._order, (last, number, name))]

    def above(self, name: str, scores: Scores, since: int) -> int:
        """How many members are above one.

        Args:
            scores: the one's, which may be others than those it is ranked by.
            since: its first scores that say nothing, as of weights that it gave up.
        """
        oldest, number = len(scores), number_of(name)
        found = 0
        for age, table in self._newest.items():
            if since < age < oldest:
                found += _above(table, _key(scores, age, number))
        if since < oldest and oldest in self._reached:
            found += _above(self._reached[oldest], _key(scores, oldest, number))
        return found

    def best(self, count: int) -> list[str]:
        """The members with the highest last scores, the best first; the later ones of equals."""
        return [name for _, _, name in reversed(self._order[max(0, len(self._order) - count) :])]

    def after(self, count: int) -> Iterator[str]:
        """The members after the :meth:`best` ones, in order."""
        rest = self._order[: max(0, len(self._order) - count)]
        return (name for _, _, name in reversed(rest))


def as_score(score: float | None) -> float:
    """A score that can be compared: the worst one for none, and for NaN."""
    return float(score) if score is not None and not math.isnan(score) else -math.inf


def _key(scores: Scores, age: int, number: int) -> tuple[float, int]:
    return as_score(scores[age - 1]), -number


def _above(table: Sequence[tuple[float, int]], key: tuple[float, int]) -> int:
    return len(table) - bisect_right(table, key)


def _drop(tables: dict[int, list[tuple[float, int]]], age: int, key: tuple[float, int]) -> None:
    table = tables[age]
    del table[bisect_left(table, key)]
    if not table:
        del tables[age]
