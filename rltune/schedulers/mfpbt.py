"""Multiple-Frequencies PBT (Doulazmi et al. 2025, arXiv 2506.03225)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rltune.options import Budget
from rltune.runs.names import number_of
from rltune.schedulers.base import SchedulerContext
from rltune.schedulers.limits import FEWEST
from rltune.schedulers.pbt import PbtExplorer
from rltune.schedulers.population import MemberState, Population
from rltune.schedulers.ranking import Ranking

#: Sub-populations at most.
MOST = 4


def frequencies(budget: Budget) -> list[int]:
    """Intervals between two decisions of each sub-population, the most dynamic one first.

    The first one decides after every interval, the steadiest about twice in a run; the others lie
    between them, evenly on a log scale. Few members make one sub-population, which is PBT.

    >>> frequencies(Budget(trials=8, steps=100, perturb_every=10))
    [1, 4]
    >>> frequencies(Budget(trials=32, steps=1000, perturb_every=10))
    [1, 4, 13, 50]
    >>> frequencies(Budget(trials=8, steps=99, perturb_every=33))
    [1, 2]
    """
    groups = max(1, min(MOST, (budget.trials - budget.controls) // FEWEST))
    decisions = max(1, (budget.steps - 1) // budget.perturb_every)
    found = [1]
    for number in range(1, groups):
        wanted = round((decisions / 2) ** (number / (groups - 1)))
        found.append(max(wanted, found[-1] + 1))
    return found


class MultiFrequency(Population):
    """PBT in sub-populations that decide at intervals of their own.

    PBT chooses by what pays by the end of an interval, and so loses members that need longer. Here
    steady sub-populations compare their members rarely, by what they have come to over long; the
    dynamic ones find what pays soon. The worst quarter of a sub-population copies its best quarter
    and explores, as in PBT. The quarter above the worst is open to migrants: where one of the best
    elsewhere is better, its weights are taken. From a steadier sub-population its settings come
    with them; to a steadier one they do not, and the weights train on at the settings of its own
    best member: what is greedy does not spread to where it shall not. A member without healthy
    others in its own sub-population takes what it can from any.

    The members are dealt out in turn. In the paper all of them decide in common rounds; here each
    does at the end of its own interval, and is compared at the age that both have reached.

    Args:
        every: intervals between two decisions of each sub-population, rising.
    """

    def __init__(
        self, context: SchedulerContext, explorer: PbtExplorer, every: Sequence[int]
    ) -> None:
        super().__init__(context, explorer)
        self._every = every
        self._rankings = [Ranking() for _ in every]

    def _group(self, trial: str) -> int:
        return number_of(trial) % len(self._every)

    def _ranking_of(self, trial: str) -> Ranking:
        return self._rankings[self._group(trial)]

    def _decides(self, trial: str, member: MemberState) -> bool:
        """Whether the interval that has ended is one after which its sub-population decides."""
        return member.diverged or len(member.scores) % self._every[self._group(trial)] == 0

    def _is_open(self, trial: str, member: MemberState) -> bool:
        """Whether a member is in the quarter above the worst one."""
        ranking = self._ranking_of(trial)
        others = len(ranking) - (trial in ranking)
        share = self._quantile(others + 1)
        above = ranking.above(trial, member.scores, member.cloned_at)
        return not self._is_control(trial) and others - 2 * share < above <= others - share

    def _may_change(self, trial: str, member: MemberState) -> bool:
        """See :meth:`Population._may_change`."""
        low = self._is_low(trial, member) or self._is_open(trial, member)
        return low and self._decides(trial, member)

    def _donor(self, trial: str) -> str | None:
        """One of its own sub-population, or a migrant."""
        member = self.members[trial]
        if not self._decides(trial, member):
            return None
        own = super()._donor(trial)
        if own is None and (member.diverged or self._is_open(trial, member)):
            return self._migrant(trial)
        return own

    def _migrant(self, trial: str) -> str | None:
        """One of the best of the other sub-populations, if it is better."""
        others = [ranking for ranking in self._rankings if ranking is not self._ranking_of(trial)]
        best = [
            name for ranking in others for name in ranking.best(self._quantile(len(ranking)) or 1)
        ]
        return self._one_of(best, (), self.members[trial])

    def _changed(
        self, trial: str, donor: str, settings: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """The configuration of a clone: a migrant's settings come along from the steadier side."""
        own, other = self._group(trial), self._group(donor)
        if own == other:
            return super()._changed(trial, donor, settings)
        if own < other:
            return settings[donor]
        best = settings[self._leader(own, donor)]
        kept = {name: best[name] for name in self._context.changes}
        mixed = {**settings[donor], **kept}  # what is structural goes with the weights
        return settings[donor] if self._context.spec.space.broken(mixed) else mixed

    def _leader(self, group: int, otherwise: str) -> str:
        """The best healthy member of a sub-population."""
        ranking = self._rankings[group]
        healthy = (name for name in ranking.after(0) if not self.members[name].diverged)
        return next(healthy, otherwise)


def build(context: SchedulerContext) -> Population:
    """Multiple-frequencies PBT over environment steps."""
    spec = context.spec
    explorer = PbtExplorer(context.changes, spec.seed, spec.budget.resample_probability)
    return MultiFrequency(context, explorer, frequencies(spec.budget))
