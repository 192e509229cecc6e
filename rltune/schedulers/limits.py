"""Budgets at which a scheduler can decide little or nothing, in words for the user."""

from __future__ import annotations

from rltune.errors import keyword
from rltune.options import Budget
from rltune.schedulers.brackets import one_round
from rltune.searchers import READY, SEARCHERS

#: Members of a sub-population of mfpbt, at least: it splits them in quarters.
FEWEST = 4


def none(budget: Budget) -> str | None:
    """Nothing to say."""
    return None


def ready() -> str:
    """Needs nothing but rltune."""
    return READY


def too_late(budget: Budget) -> str | None:
    """Says that the first decision comes when a trial is over."""
    if budget.perturb_every < budget.steps:
        return None
    return (
        f"{budget.scheduler} decides for the first time after `perturb_every` = "
        f"{budget.perturb_every:,} environment steps, and a trial has {budget.steps:,}: every "
        "trial runs to its end. Lower `perturb_every`, or raise `steps`"
    )


def population(budget: Budget) -> str | None:
    """Says that members are compared once at most, or have nobody to learn from."""
    if budget.trials < 2:
        return (
            f"{budget.scheduler} has one trial, which has nobody to learn from: it runs to its end "
            f"at its first settings. More with {keyword(trials=4)}"
        )
    first = max(budget.perturb_every, budget.burn_in)
    if first >= budget.steps:
        return too_late(budget) or (
            f"`burn_in` = {budget.burn_in:,} leaves nothing to decide in {budget.steps:,} steps: "
            "every trial runs to its end at its first settings"
        )
    decisions = (budget.steps - 1) // budget.perturb_every
    if decisions > 1:
        return None
    return (
        f"{budget.scheduler} decides about a trial once: an interval is `perturb_every` = "
        f"{budget.perturb_every:,} environment steps, and a trial has {budget.steps:,}. Lower "
        "`perturb_every`, or raise `steps`"
    )


def multi_frequency(budget: Budget) -> str | None:
    """Says that there are too few members for two sub-populations."""
    members = budget.trials - budget.controls
    if members >= 2 * FEWEST:
        return population(budget)
    more = keyword(trials=2 * FEWEST + budget.controls)
    return population(budget) or (
        f"mfpbt with {members} members is pbt: a sub-population has {FEWEST} at least. Two of them "
        f"with {more}"
    )


def halving(budget: Budget) -> str | None:
    """Says that nobody is stopped at a rung."""
    if budget.trials < 2:
        return f"{budget.scheduler} has one trial, and so nothing to choose from"
    return too_late(budget)


def median(budget: Budget) -> str | None:
    """Says that no trial has enough others to be compared with."""
    if budget.trials > budget.min_samples:
        return too_late(budget)
    return (
        f"median stops a trial only beside `min_samples` = {budget.min_samples} others of its age, "
        f"and there are {budget.trials} trials: every one runs to its end. More with "
        f"{keyword(trials=4 * budget.min_samples)}, or lower `min_samples`"
    )


def hyperband(budget: Budget) -> str | None:
    """Says that brackets have one rung, or that there are trials for some of them alone."""
    brackets = one_round(budget)
    if len(brackets) == 1:
        return (
            f"{budget.scheduler} stops no trial: its first rung would be at `perturb_every` = "
            f"{budget.perturb_every:,} environment steps, the next {budget.reduction_factor} times "
            f"as high, and a trial has {budget.steps:,}. Lower `perturb_every`, or raise `steps`"
        )
    if budget.trials < 2:
        return halving(budget)
    sizes = [bracket.size for bracket in brackets]
    if budget.trials >= sum(sizes):
        return None
    return (
        f"a round of {budget.scheduler} is {sum(sizes)} trials, in brackets of "
        f"{', '.join(map(str, sizes))}: {budget.trials} trials fill the first of them alone, which "
        f"stop trials earliest. The whole round with {keyword(trials=sum(sizes))}"
    )


def bohb(budget: Budget) -> str | None:
    """Says that BOHB's other half is not used; else what HyperBand says."""
    if budget.searcher == "bohb":
        return hyperband(budget)
    state = bohb_state()
    told = (
        f"scheduler bohb with the searcher {budget.searcher} is hyperband, the searcher bohb makes "
        "it BOHB"
    )
    fix = f"Add {keyword(searcher='bohb')}" if state == READY else state
    more = hyperband(budget) or ""
    return ". ".join(filter(None, [told, fix, more[:1].upper() + more[1:]]))


def bohb_state() -> str:
    """Whether BOHB's searcher is ready on this installation, or why it is not."""
    searcher = SEARCHERS.get("bohb")
    if searcher is None:
        return "This version has no searcher bohb"
    if searcher.state == READY:
        return READY
    return f"The searcher bohb is not ready: {searcher.state}"
