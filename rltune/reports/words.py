"""Words that reports and the screen share."""

from __future__ import annotations

import math

from rltune.runs.summary_record import Comparison
from rltune.spec import FUNCTION, RL, RunSpec
from rltune.statistics import FEWEST_VALUES


def defaults_in_words(spec: RunSpec) -> str:
    """Where the defaults of what is searched come from: only algorithms have presets."""
    return f"the {'preset' if spec.task == RL else 'space'}'s defaults"


def clock_in_words(spec: RunSpec) -> str:
    """What a trial's clock counts: a function says itself what its steps are."""
    return "steps" if spec.task == FUNCTION else "environment steps"


def outcome_in_words(spec: RunSpec) -> str:
    """What the best trial leaves behind: rltune knows policies of its own algorithms alone."""
    return "policy" if spec.task == RL else "checkpoint"


#: The arms of a replay, in words.
ARMS = {
    "schedule": "the champion's schedule",
    "final": "its final settings held constant",
    "initial": "the best initial settings",
}


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
