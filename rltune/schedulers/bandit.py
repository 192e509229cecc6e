"""TV.EXP3: which option of a choice to try next, while what is best changes with time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def arm_probabilities(
    arms: Sequence[int], rewards: Sequence[float] | NDArray[np.float64], options: int
) -> NDArray[np.float64]:
    """The probability of drawing each arm after what was seen of them.

    A pull multiplies the weight of its arm by the reward it brought over the chance it had; a
    small part of all weight is then shared out, so that an arm which was bad early can come back.
    Source: Parker-Holder et al. 2021, algorithm 2, for one draw at a time.

    Args:
        arms: position of the arm of each pull, in the order of time.
        rewards: of each pull, in [0, 1].
        options: how many arms there are.

    Returns:
        Shape ``(options,)``, each at least the share that is left to exploration.
    """
    pulls = max(len(arms), 1)
    explored = min(1.0, math.sqrt(options * math.log(options) / ((math.e - 1) * pulls)))
    weights = np.full(options, 1.0 / options)
    for arm, reward in zip(arms, rewards, strict=True):
        chance = (1 - explored) * weights[arm] + explored / options
        weights[arm] *= math.exp(explored * reward / (chance * options))
        weights += math.e / (pulls * options) * weights.sum()
        weights /= weights.sum()
    return (1 - explored) * weights + explored / options
