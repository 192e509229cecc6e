"""From a policy's actions to an environment's; see :mod:`rltune.engine.codec`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class UnsupportedSpace(ValueError):
    """A space that no policy here can read, or act in. The message says what would help."""


class ActionCodec(ABC):
    """Between a policy's actions and an environment's.

    Attributes:
        theirs: the environment's action space.
        ours: the policy's.
        choices: numbers in a mask of legal actions; 0 where actions cannot be masked.
    """

    theirs: gym.Space[Any]
    ours: gym.Space[Any]
    choices: int = 0

    @property
    def is_identity(self) -> bool:
        """Whether both are the same."""
        return False

    @abstractmethod
    def decode(self, actions: Any) -> Any:
        """Actions of the environment's, shape (..., *theirs.shape), from the policy's (..., d)."""

    def split(self, actions: Any) -> Sequence[Any]:
        """As :meth:`decode`, one action a copy, each as the environment's space samples it."""
        decoded: Sequence[Any] = self.decode(actions)
        return decoded


class DiscreteCodec(ActionCodec):
    """Of ``Discrete``, which may start anywhere."""

    def __init__(self, space: spaces.Discrete) -> None:
        self.theirs, self.ours = space, spaces.Discrete(int(space.n))
        self.choices = int(space.n)

    @property
    def is_identity(self) -> bool:
        """Where it starts from 0, in 64 bits."""
        return bool(self.theirs == self.ours and self.theirs.dtype == np.int64)

    def decode(self, actions: Any) -> Any:
        """Shape (...) to (...)."""
        return (np.asarray(actions) + self.theirs.start).astype(self.theirs.dtype)[()]


class MultiDiscreteCodec(ActionCodec):
    """Of ``MultiDiscrete`` and ``MultiBinary``, of any shape."""

    def __init__(self, space: spaces.MultiDiscrete | spaces.MultiBinary) -> None:
        binary = isinstance(space, spaces.MultiBinary)
        counts = np.full(space.shape, 2) if binary else space.nvec
        self.theirs, self.ours = space, spaces.MultiDiscrete(np.ravel(counts))
        self.start = np.zeros(space.shape, np.int64) if binary else space.start
        self.choices = int(np.sum(counts))

    def decode(self, actions: Any) -> Any:
        """Shape (..., d) to (..., *theirs.shape)."""
        shaped = np.reshape(actions, (*np.shape(actions)[:-1], *self.theirs.shape))
        return (shaped + self.start).astype(self.theirs.dtype)


class BoxCodec(ActionCodec):
    """Of ``Box``: what comes out is in the space, whatever the policy says that is a number.

    Dimensions with two finite bounds are stretched from [-1, 1] (RLlib's ``normalize_actions``),
    those of whole numbers in bins of equal width. The others are the environment's own numbers,
    clipped to the bound that there is.
    """

    def __init__(self, space: spaces.Box) -> None:
        self.theirs = space
        size = math.prod(space.shape)
        self.whole = np.issubdtype(space.dtype, np.integer) or space.dtype == np.bool_
        self.bounded = np.ravel(space.bounded_below & space.bounded_above)
        self.low, self.high = np.ravel(space.low), np.ravel(space.high)
        edge = np.where(self.bounded, np.float32(1), np.float32(np.inf))
        self.ours = spaces.Box(-edge, edge, (size,), np.float32)
        # The nearest numbers within the bounds that 64 bits hold: 2 ** 63 - 1 is none of them.
        self.least = np.array([_within(x, 1) for x in self.low.tolist()], np.float64)
        self.most = np.array([_within(x, -1) for x in self.high.tolist()], np.float64)
        # A bin a whole number: the last ends one past the highest.
        self.from_ = np.where(self.bounded, self.least, 0.0)
        self.to_ = np.where(self.bounded, self.most + self.whole, 0.0)

    def decode(self, actions: Any) -> Any:
        """Shape (..., d) to (..., *theirs.shape)."""
        said = np.asarray(actions, np.float64)
        share = (np.clip(said, -1.0, 1.0) + 1.0) / 2.0
        values = self.from_ * (1.0 - share) + self.to_ * share
        if self.whole:
            values = np.floor(values)
        if not self.bounded.all():
            raw = np.rint(said) if self.whole else said
            values = np.where(self.bounded, values, raw)
        values = np.clip(values, self.least, self.most)
        with np.errstate(over="ignore"):
            taken = values.astype(self.theirs.dtype)
        if not self.whole:  # rounding to fewer bits may lead past a bound
            taken = np.clip(taken, self.low, self.high)
        return taken.reshape((*said.shape[:-1], *self.theirs.shape))

    def split(self, actions: Any) -> Sequence[Any]:
        """An array a copy, where a single number is an action too."""
        decoded = self.decode(actions)
        return decoded if self.theirs.shape else [decoded[i, ...] for i in range(len(decoded))]


def _within(bound: float, inwards: int) -> float:
    """The float64 nearest to a bound that does not lie beyond it."""
    near = float(bound)
    exact = not isinstance(bound, int) or int(near) == bound
    if exact or (int(near) - bound) * inwards > 0:
        return near
    return float(np.nextafter(near, inwards * math.inf))


def action_codec(space: gym.Space[Any]) -> ActionCodec:
    """The codec of an action space.

    Raises:
        UnsupportedSpace: no policy here can act in it.
    """
    if isinstance(space, spaces.Discrete):
        return DiscreteCodec(space)
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return MultiDiscreteCodec(space)
    if isinstance(space, spaces.Box):
        return BoxCodec(space)
    raise UnsupportedSpace(
        f"{type(space).__name__} actions are not handled. Wrap the environment so that its actions "
        "are Discrete, MultiDiscrete, MultiBinary or a Box"
    )
