"""Converts a policy's actions to an environment's; see :mod:`rltune.engine.codec`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class UnsupportedSpace(ValueError):
    """A space that rltune's policies cannot read or act in. The message names the fix."""


class ActionCodec(ABC):
    """Converts a policy's actions to an environment's.

    Attributes:
        theirs: action space of the environment.
        ours: action space of the policy.
        choices: length of a mask of legal actions; 0 if actions cannot be masked.
    """

    theirs: gym.Space[Any]
    ours: gym.Space[Any]
    choices: int = 0

    @property
    def is_identity(self) -> bool:
        """Whether both action spaces are equal."""
        return False

    @abstractmethod
    def decode(self, actions: Any) -> Any:
        """Converts the policy's actions (..., d) to the environment's, (..., *theirs.shape)."""

    def split(self, actions: Any) -> Sequence[Any]:
        """Decodes one action per copy, each of the type that the environment's space samples."""
        decoded: Sequence[Any] = self.decode(actions)
        return decoded


class DiscreteCodec(ActionCodec):
    """Codec of ``Discrete``, with any start."""

    def __init__(self, space: spaces.Discrete) -> None:
        self.theirs, self.ours = space, spaces.Discrete(int(space.n))
        self.choices = int(space.n)

    @property
    def is_identity(self) -> bool:
        """Whether the space starts at 0 and has 64 bits."""
        return bool(self.theirs == self.ours and self.theirs.dtype == np.int64)

    def decode(self, actions: Any) -> Any:
        """Converts actions of shape (...) to (...)."""
        return (np.asarray(actions) + self.theirs.start).astype(self.theirs.dtype)[()]


class MultiDiscreteCodec(ActionCodec):
    """Codec of ``MultiDiscrete`` and ``MultiBinary`` of any shape."""

    def __init__(self, space: spaces.MultiDiscrete | spaces.MultiBinary) -> None:
        binary = isinstance(space, spaces.MultiBinary)
        counts = np.full(space.shape, 2) if binary else space.nvec
        self.theirs, self.ours = space, spaces.MultiDiscrete(np.ravel(counts))
        self.start = np.zeros(space.shape, np.int64) if binary else space.start
        self.choices = int(np.sum(counts))

    def decode(self, actions: Any) -> Any:
        """Converts actions of shape (..., d) to (..., *theirs.shape)."""
        shaped = np.reshape(actions, (*np.shape(actions)[:-1], *self.theirs.shape))
        return (shaped + self.start).astype(self.theirs.dtype)


class BoxCodec(ActionCodec):
    """Codec of ``Box``: the result is in the space for any finite action of the policy.

    Dimensions with two finite bounds are scaled from [-1, 1] (RLlib's ``normalize_actions``),
    integers in bins of equal width. The other dimensions pass through unscaled, clipped to a
    finite bound.
    """

    def __init__(self, space: spaces.Box) -> None:
        self.theirs = space
        size = math.prod(space.shape)
        self.whole = np.issubdtype(space.dtype, np.integer) or space.dtype == np.bool_
        self.bounded = np.ravel(space.bounded_below & space.bounded_above)
        self.low, self.high = np.ravel(space.low), np.ravel(space.high)
        edge = np.where(self.bounded, np.float32(1), np.float32(np.inf))
        self.ours = spaces.Box(-edge, edge, (size,), np.float32)
        # The nearest float64 within the bounds: 2 ** 63 - 1 is not a float64.
        self.least = np.array([_within(x, 1) for x in self.low.tolist()], np.float64)
        self.most = np.array([_within(x, -1) for x in self.high.tolist()], np.float64)
        # One bin per integer: the last bin ends one past the highest.
        self.from_ = np.where(self.bounded, self.least, 0.0)
        self.to_ = np.where(self.bounded, self.most + self.whole, 0.0)

    def decode(self, actions: Any) -> Any:
        """Converts actions of shape (..., d) to (..., *theirs.shape)."""
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
        if not self.whole:  # rounding to fewer bits may exceed a bound
            taken = np.clip(taken, self.low, self.high)
        return taken.reshape((*said.shape[:-1], *self.theirs.shape))

    def split(self, actions: Any) -> Sequence[Any]:
        """Decodes one array per copy, also where an action is a single number."""
        decoded = self.decode(actions)
        return decoded if self.theirs.shape else [decoded[i, ...] for i in range(len(decoded))]


def _within(bound: float, inwards: int) -> float:
    """Returns the float64 nearest to a bound and not beyond it."""
    near = float(bound)
    exact = not isinstance(bound, int) or int(near) == bound
    if exact or (int(near) - bound) * inwards > 0:
        return near
    return float(np.nextafter(near, inwards * math.inf))


def action_codec(space: gym.Space[Any]) -> ActionCodec:
    """Returns the codec of an action space.

    Raises:
        UnsupportedSpace: rltune's policies cannot act in it.
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
