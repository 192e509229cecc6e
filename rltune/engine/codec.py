"""The codec between environment and policy: converts observations and actions.

A policy reads one array and acts in one of three kinds of space; an environment has the spaces that
its author defined. Every environment that rltune makes (:mod:`rltune.envs`) uses this codec, in
training, scoring, play and export.

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
