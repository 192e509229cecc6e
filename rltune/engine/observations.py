"""From an environment's observations to what a policy reads; see :mod:`rltune.engine.codec`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rltune.engine.actions import UnsupportedSpace

#: How observations may be read, see :class:`ObservationCodec`; "auto" chooses.
FORMS = ("auto", "vector", "picture", "channels_first")
#: RLlib's names for an observation with an action mask beside it.
OBSERVATIONS, ACTION_MASK = "observations", "action_mask"
#: The least height and width that convolutions of 3 x 3 take.
LEAST_SIDE = 3
#: Height and width from which a plane of bytes without channels is a grey image and no table.
GREY_FROM = 36

_NUMBERS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class PolicyInput(spaces.Box):  # type: ignore[misc]
    """What a policy reads.

    Attributes:
        masked: numbers at the end of the last axis that say which actions are legal (1) or not (0);
            0 for no mask.
    """

    masked: int = 0

    @classmethod
    def of(cls, low: np.ndarray, high: np.ndarray, dtype: Any, masked: int = 0) -> PolicyInput:
        """A space of the shape of its bounds."""
        made = cls(low, high, dtype=dtype)
        made.masked = masked
        return made


def divisor(space: gym.Space[Any]) -> float:
    """What numbers of a policy's observation space are divided by: 255 for images of bytes."""
    return 255.0 if isinstance(space, spaces.Box) and _is_image_of_bytes(space) else 1.0


def masked(space: gym.Space[Any]) -> int:
    """Numbers of an action mask at the end of a policy's observations; 0 for none."""
    return getattr(space, "masked", 0)


def legal(space: gym.Space[Any], obs: np.ndarray) -> np.ndarray:
    """Which actions the observations (..., d) of a policy's observation space allow, (..., masked).

    A mask that allows nothing, as at the end of a game, restricts nothing.
    """
    mask = obs[..., obs.shape[-1] - masked(space) :] > 0
    allowed: np.ndarray = mask | ~mask.any(axis=-1, keepdims=True)
    return allowed


def sample(observation_space: gym.Space[Any], action_space: gym.Space[Any], obs: np.ndarray) -> Any:
    """A random action of a policy's, legal for one of its observations."""
    if not masked(observation_space):
        return action_space.sample()
    return sample_legal(action_space, legal(observation_space, obs))


def sample_legal(action_space: gym.Space[Any], mask: np.ndarray) -> Any:
    """A random action of a policy's that a mask of shape (choices,) allows."""
    allowed = mask.astype(np.int8)
    if isinstance(action_space, spaces.Discrete):
        return action_space.sample(mask=allowed)
    return action_space.sample(mask=tuple(np.split(allowed, np.cumsum(action_space.nvec)[:-1])))


def _is_image_of_bytes(space: spaces.Box) -> bool:
    return len(space.shape) == 3 and _has_all_bytes(space)


def _has_all_bytes(space: spaces.Box) -> bool:
    whole = space.low.size and (space.low == 0).all() and (space.high == 255).all()
    return bool(space.dtype == np.uint8 and whole)


class ObservationCodec:
    """From an environment's observations to what a policy reads.

    A vector stays a vector. Three axes are an image: rows, columns and channels, the channels last
    or, where the first axis is smaller than both others, first. Bytes from 0 to 255 in an image
    are divided by 255, all other numbers are read as they are. Everything else, Dict and Tuple too,
    is flattened by gymnasium's rules: numbered options become vectors of zeros and ones. An action
    mask comes behind the observation, as numbers of the same vector.

    Args:
        space: the environment's.
        asked: one of :data:`FORMS`.
        choices: numbers in a mask of legal actions, see :class:`ActionCodec`.

    Attributes:
        ours: what the policy reads.
        form: "vector", "picture" or "channels_first".
        why: why it is read so, in words that follow "observations".

    Raises:
        UnsupportedSpace: it cannot be read, at all or in the form asked for.
    """

    def __init__(self, space: gym.Space[Any], asked: str = "auto", choices: int = 0) -> None:
        _check_numbers(space)
        self.theirs = space
        self.masked = _mask_size(space, choices)
        seen = space[OBSERVATIONS] if self.masked else space
        self.form, self.why = _form(seen, asked)
        if self.masked:
            if asked not in ("auto", "vector"):
                raise UnsupportedSpace(
                    f"observation_form = {asked}: observations with an action mask beside them are "
                    "read as one vector"
                )
            self.form = "vector"
            self.why = (
                f"are flattened to one vector, with the mask of {choices} actions behind them"
            )
        self.ours = self._space(seen)

    def _space(self, seen: gym.Space[Any]) -> PolicyInput:
        if self.form == "vector":
            flat = spaces.flatten_space(self.theirs if not self.masked else seen)
            low, high = flat.low, flat.high
            dtype = np.uint8 if flat.dtype == np.uint8 else np.float32
            if self.masked:
                low = np.concatenate([low, np.zeros(self.masked)])
                high = np.concatenate([high, np.ones(self.masked)])
            return PolicyInput.of(_as(low, dtype), _as(high, dtype), dtype, self.masked)
        low, high = self._turned(seen.low), self._turned(seen.high)
        dtype = np.uint8 if seen.dtype == np.uint8 else np.float32
        return PolicyInput.of(_as(low, dtype), _as(high, dtype), dtype)

    @property
    def is_identity(self) -> bool:
        """Whether observations are read as they are."""
        same_shape = self.theirs.shape == self.ours.shape and isinstance(self.theirs, spaces.Box)
        return same_shape and not self.masked and self.form != "channels_first"

    def encode(self, observation: Any) -> np.ndarray:
        """One observation of the environment's as the policy reads it, of ``ours``' shape."""
        if self.masked:
            flat = spaces.flatten(self.theirs[OBSERVATIONS], observation[OBSERVATIONS])
            mask = flat_mask(observation[ACTION_MASK])
            return _as(np.concatenate([flat, mask]), self.ours.dtype)
        if self.form == "vector":
            return _as(spaces.flatten(self.theirs, observation), self.ours.dtype)
        return _as(self._turned(np.asarray(observation)), self.ours.dtype)

    def _turned(self, planes: np.ndarray) -> np.ndarray:
        if planes.ndim == 2:
            return planes[..., None]
        return np.moveaxis(planes, 0, -1) if self.form == "channels_first" else planes


def _as(values: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore"):  # a bound of float64's becomes infinite: there is none
        return np.asarray(values).astype(dtype, copy=False)


def flat_mask(mask: Any) -> np.ndarray:
    """A mask of legal actions as one vector; a list of masks, one after another."""
    if isinstance(mask, list | tuple):
        return np.concatenate([np.ravel(part) for part in mask]).astype(bool)
    return np.ravel(mask).astype(bool)


def _check_numbers(space: gym.Space[Any]) -> None:
    parts: Sequence[gym.Space[Any]] = ()
    if isinstance(space, spaces.Dict):
        parts = list(space.spaces.values())
    elif isinstance(space, spaces.Tuple):
        parts = list(space.spaces)
    elif not isinstance(space, _NUMBERS):
        raise UnsupportedSpace(
            f"{type(space).__name__} observations are not handled: their size changes, or they are "
            "no numbers. Give the policy numbers of a fixed size instead, such as a Box"
        )
    for part in parts:
        _check_numbers(part)
    if spaces.utils.flatdim(space) == 0:
        raise UnsupportedSpace(f"{space} holds no number: there is nothing to read")


def has_mask(space: gym.Space[Any]) -> bool:
    """Whether observations are RLlib's form of an observation with an action mask beside it."""
    names = set(space.spaces) if isinstance(space, spaces.Dict) else set()
    return names == {OBSERVATIONS, ACTION_MASK}


def _mask_size(space: gym.Space[Any], choices: int) -> int:
    """Numbers in the mask of an observation with RLlib's names; 0 for any other."""
    if not has_mask(space):
        return 0
    mask = space[ACTION_MASK]
    whole = all(isinstance(part, spaces.Box | spaces.MultiBinary) for part in _parts(mask))
    size = spaces.utils.flatdim(mask) if whole else None
    if not choices:
        raise UnsupportedSpace("an action_mask is of numbered actions, and these are continuous")
    if size != choices:
        raise UnsupportedSpace(
            f"an action_mask needs a number for each of {choices} options of the actions, Box or "
            f"MultiBinary: this one is {mask}"
        )
    return choices


def _parts(space: gym.Space[Any]) -> Sequence[gym.Space[Any]]:
    return list(space.spaces) if isinstance(space, spaces.Tuple) else [space]


def _form(space: gym.Space[Any], asked: str) -> tuple[str, str]:
    """How a space is read, and why, in words that follow "observations"."""
    if asked not in FORMS:
        raise UnsupportedSpace(f"observation_form = {asked!r}: it is one of {', '.join(FORMS)}")
    shape = space.shape if isinstance(space, spaces.Box) else None
    if asked == "vector":
        return "vector", "are read as a vector, as asked for"
    if asked != "auto":
        _check_image(space, shape, asked)
        return asked, f"are read as a picture of shape {shape}, as asked for"
    if shape is None:
        return "vector", f"of a {type(space).__name__} are flattened to one vector"
    if len(shape) == 2 and min(shape) >= GREY_FROM and _has_all_bytes(space):
        return "picture", f"of shape {shape}, bytes from 0 to 255, are a grey picture"
    if len(shape) != 3:
        flat = "are a vector" if len(shape) == 1 else "are flattened to one vector"
        return "vector", f"of shape {shape} {flat}, numbers as they are"
    first = shape[0] < min(shape[1:])
    sides = shape[1:] if first else shape[:2]
    if min(sides) < LEAST_SIDE:
        return "vector", f"of shape {shape} are too narrow for convolutions and flattened"
    scale = ", divided by 255" if _has_all_bytes(space) else ", numbers as they are"
    where = "first" if first else "last"
    return (
        "channels_first" if first else "picture",
        f"of shape {shape} are a picture, channels {where}{scale}",
    )


def _check_image(space: gym.Space[Any], shape: tuple[int, ...] | None, asked: str) -> None:
    axes = (2, 3) if asked == "picture" else (3,)
    if shape is None or len(shape) not in axes:
        raise UnsupportedSpace(f"observation_form = {asked}: {space} has not the axes of a picture")
    sides = shape[1:] if asked == "channels_first" else shape[:2]
    if min(sides) < LEAST_SIDE:
        raise UnsupportedSpace(
            f"observation_form = {asked}: {sides[0]} x {sides[1]} is too small for convolutions, "
            f"which take {LEAST_SIDE} x {LEAST_SIDE} and more"
        )
