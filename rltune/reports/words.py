"""Words that reports and the screen share."""

from __future__ import annotations

import math

from rltune.reports.numbers import bounds, number
from rltune.runs.summary_record import Comparison, LandscapeOutcome, SeedStatistics, Summary
from rltune.spec import FUNCTION, JobSpec, RunSpec
from rltune.statistics import FEWEST_OF_TENTH, FEWEST_VALUES


def defaults_in_words(spec: RunSpec) -> str:
    """Where the defaults of what is searched come from: only algorithms have presets."""
    return f"the {'preset' if spec.plays else 'space'}'s defaults"


def clock_in_words(spec: RunSpec) -> str:
    """What a trial's clock counts: a function says itself what its steps are."""
    return "steps" if spec.task == FUNCTION else "environment steps"


def outcome_in_words(spec: RunSpec) -> str:
    """What the best trial leaves behind: rltune knows policies of its own algorithms alone."""
    return "policy" if spec.plays else "checkpoint"


def episodes_in_words(spec: RunSpec) -> str:
    """What a score is over: in several environments an episode is one in each of them."""
    return "episodes of each environment" if spec.environments else "episodes"


#: The arms of a replay, in words.
ARMS = {
    "schedule": "the champion's schedule",
    "final": "its final settings held constant",
    "initial": "the best initial settings",
    "control": "settings that nobody chose",
}
#: What a replay found to have made the difference, in words.
VERDICTS = {
    "schedule": "it was the schedule: it is better than either of its constant settings",
    "selection": (
        "it was selection: its settings are good ones, and changing them adds nothing that shows"
    ),
    "luck": "it was luck: on fresh seeds it is no better than settings that nobody chose",
}


def verdict_in_words(summary: Summary, job: JobSpec) -> str | None:
    """What made the difference, by a replay; None for any other run.

    Args:
        job: whose arms were asked for; those of which no seed has a score leave it open.
    """
    if summary.arms is None:
        return None
    if summary.verdict is not None:
        return VERDICTS[summary.verdict]
    fewest = min(arm.seeds for arm in summary.arms.values())
    if fewest < FEWEST_VALUES:
        return f"schedule, selection or luck: {fewest} seeds do not tell, it takes {FEWEST_VALUES}"
    asked = {name.partition("/")[0] for name in job.arms}  # controls share an arm
    if "control" in summary.arms or not {"schedule", *asked} <= {*summary.arms}:
        return "schedule, selection or luck: arms without scores leave it open"
    return (
        "it was not the schedule, as far as these seeds tell: selection or luck, which controls of "
        "the sweep tell apart (`controls`)"
    )


def sentence(comparison: Comparison) -> str:
    """A comparison of two arms, the better one first."""
    arm, over = comparison.arm, comparison.over
    probability, (low, high) = comparison.probability, comparison.ci95
    if probability < 0.5:
        arm, over = over, arm
        probability, low, high = 1 - probability, 1 - high, 1 - low
    if math.isnan(low):
        sure = f": too few seeds for an interval, it takes {FEWEST_VALUES} an arm"
    elif low == 1:  # nothing that a bootstrap could vary
        sure = ": in every pair of their seeds"
    else:
        sure = f" [{low:.2f}, {high:.2f}]" + ("" if low > 0.5 else ": no clear difference")
    arm, over = ARMS.get(arm, arm), ARMS.get(over, over)
    return f"{arm} beat {over} with probability {probability:.2f}{sure}"


def tail_in_words(together: SeedStatistics) -> str:
    """How bad the bad seeds are: the failure rate, and the worst tenth of the scores."""
    if together.worst_tenth is None or together.worst_tenth_ci95 is None:
        few = f"it takes {FEWEST_OF_TENTH} seeds, here are {together.seeds}"
        return f"failure rate and mean of the worst tenth are not told: {few}"
    worst = f"mean of the worst tenth of the seeds {number(together.worst_tenth)}"
    told = f"{worst}, 95 % interval {bounds(together.worst_tenth_ci95)}"
    if together.failure_rate is None or together.failure_rate_ci95 is None:
        return told
    low, high = (100 * end for end in together.failure_rate_ci95)
    failed = f"failure rate {100 * together.failure_rate:.3g} %"
    return f"{failed}, 95 % interval [{low:.1f} %, {high:.1f} %]; {told}"


def landscape_in_words(found: LandscapeOutcome) -> str:
    """How good the best settings of a landscape are, and how many are nearly as good."""
    return (
        f"the best median over {found.seeds} seeds is {number(found.best)}; "
        f"{100 * found.near_best:.3g} % of the {found.settings} settings are within 5 % of it"
    )
