"""One codec between an environment and a policy: what the policy reads, what the environment gets.

A policy reads one array of numbers and answers in one of three forms. An environment shows and
takes whatever its author defined. Every environment that rltune makes passes through here
(:mod:`rltune.envs`), in training, scoring, play and export alike.

=================================  ===============================================================
an environment's actions           the policy's
=================================  ===============================================================
Discrete(n, start)                 Discrete(n), from 0
MultiDiscrete, any shape, start    MultiDiscrete of one axis, from 0
MultiBinary, any shape             MultiDiscrete([2, 2, ...])
Box, any shape, bounds and dtype   Box of one axis, float32: [-1, 1] where both bounds are finite,
                                   the environment's own numbers where one is not
=================================  ===============================================================
"""

from rltune.engine.actions import (
    ActionCodec,
    BoxCodec,
    DiscreteCodec,
    MultiDiscreteCodec,
    UnsupportedSpace,
    action_codec,
)
from rltune.engine.observations import (
    ACTION_MASK,
    FORMS,
    GREY_FROM,
    OBSERVATIONS,
    ObservationCodec,
    PolicyInput,
    divisor,
    flat_mask,
    has_mask,
    legal,
    masked,
    sample,
    sample_legal,
)

__all__ = [
    "ACTION_MASK",
    "FORMS",
    "GREY_FROM",
    "OBSERVATIONS",
    "ActionCodec",
    "BoxCodec",
    "DiscreteCodec",
    "MultiDiscreteCodec",
    "ObservationCodec",
    "PolicyInput",
    "UnsupportedSpace",
    "action_codec",
    "divisor",
    "flat_mask",
    "has_mask",
    "legal",
    "masked",
    "sample",
    "sample_legal",
]
