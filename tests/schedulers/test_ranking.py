"""A member's place among all others, found without looking at each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from table import Table

from rltune.runs.names import number_of
from rltune.schedulers.population import MemberState, Population
from rltune.schedulers.ranking import Ranking, as_score


def _above(ranked: Mapping[str, MemberState], name: str, member: MemberState) -> int:
    """Members above one, by its lead over each."""
    found = 0
    for other, body in ranked.items():
        lead = body.lead(member) if other != name else math.nan
        found += lead > 0 or (lead == 0 and number_of(other) < number_of(name))
    return found


def test_places_equal_those_by_comparing_each_pair() -> None:
    rng = np.random.default_rng(0)
    scores = [None, math.nan, math.inf, -math.inf, 0.0, 1.0, 1.0, 2.5, -3.0]
    ranking, members = Ranking(), dict[str, MemberState]()
    for _ in range(3_000):
        name = f"t{rng.integers(12):02d}"
        before = members.get(name, MemberState())
        kind = rng.integers(10)
        if kind == 0:
            members.pop(name, None)
            ranking.remove(name)
            continue
        if kind == 1:  # it was taken back to a checkpoint
            drawn = tuple(scores[i] for i in rng.integers(len(scores), size=rng.integers(6)))
        else:
            drawn = (*before.scores, scores[rng.integers(len(scores))])[-8:]
        cloned_at = int(rng.integers(len(drawn) + 1))
        member = MemberState(scores=drawn, diverged=kind == 2, cloned_at=cloned_at)
        if member.score is None and not member.diverged:
            continue
        members[name] = member
        ranking.put(name, drawn, counts=not member.diverged)
        further = MemberState(scores=(*drawn, 1.0), cloned_at=cloned_at)
        for one in (member, further):
            assert ranking.above(name, one.scores, one.cloned_at) == _above(members, name, one)
        order = sorted(
            members, key=lambda each: (as_score(members[each].score), number_of(each)), reverse=True
        )
        count = int(rng.integers(len(order) + 2))
        assert (ranking.best(count), list(ranking.after(count))) == (order[:count], order[count:])


class _Compared(Population):
    """A population that also compares each pair of members."""

    calls = 0

    def _is_low(self, name: str, member: MemberState) -> bool:
        ranked = {
            other: body
            for other, body in self.members.items()
            if other in self._settings
            and other not in self._ended
            and (
                body.diverged or (body.score is not None and body.env_steps >= self._budget.burn_in)
            )
        }
        others = len(ranked) - (name in ranked)
        low = self._quantile(others + 1)
        expected = low > 0 and _above(ranked, name, member) > others - low
        found = super()._is_low(name, member)
        assert found == expected
        type(self).calls += 1
        return found


@pytest.mark.parametrize("options", [{}, {"synchronous": True}, {"burn_in": 2_000}])
def test_a_population_finds_the_same_members_low(options: dict[str, Any]) -> None:
    class Compared(Table):
        def build(self, context: Any) -> Any:
            scheduler = super().build(context)
            scheduler.__class__ = _Compared
            return scheduler

    def gain(trial: str, clock: int, settings: Mapping[str, Any]) -> float:
        if trial == "t03" and clock > 2_000:
            return math.nan
        return float((number_of(trial) * 7 + clock // 500) % 5 - 1)

    _Compared.calls = 0
    table = Compared(gain, members=9, slots=4, steps=8_000, population=options)
    table.run()
    assert table.changed_at
    assert _Compared.calls > 30
