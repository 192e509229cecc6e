"""Stacks observations, so that a network sees motion."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from rltune.engine.codec import PolicyInput, masked


def joined(space: gym.Space[Any], count: int) -> PolicyInput:
    """Returns the space of ``count`` observations joined along their last axis.

    Raises:
        ValueError: the space is not a Box.
    """
    if not isinstance(space, gym.spaces.Box) or not space.shape:
        raise ValueError(f"frame_stack needs observations of a Box space, not {space}")
    low, high = (np.concatenate([end] * count, axis=-1) for end in (space.low, space.high))
    return PolicyInput.of(low, high, space.dtype.type, masked(space))


class JoinFrames(gym.ObservationWrapper, RecordConstructorArgs):  # type: ignore[misc]
    """Joins the last ``count`` observations along their last axis, the newest last.

    A vector of shape (n,) becomes (n * count,), an image (H, W, C) becomes (H, W, C * count), as
    convolutions expect. An episode starts with its first observation repeated. The replay buffer
    relies on this layout to keep each frame once.

    Raises:
        ValueError: the space is not a Box.
    """

    def __init__(self, env: gym.Env[np.ndarray, Any], count: int) -> None:
        RecordConstructorArgs.__init__(self, count=count)
        super().__init__(env)
        self._frames: deque[np.ndarray] = deque(maxlen=count)
        self.observation_space = joined(env.observation_space, count)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode, with its first observation repeated."""
        self._frames.clear()
        start: tuple[np.ndarray, dict[str, Any]] = super().reset(**kwargs)
        return start

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Returns the newest observations, joined."""
        observation = np.array(observation)  # it may be the same array in every step
        self._frames.append(observation)
        while len(self._frames) < (self._frames.maxlen or 0):
            self._frames.append(observation)
        return np.concatenate(self._frames, axis=-1)


def frames_of(env: gym.Env[Any, Any]) -> int:
    """Number of observations that an environment joins, read from its spaces."""
    if not isinstance(env, JoinFrames):
        return 1
    return int(env.observation_space.shape[-1] // env.env.observation_space.shape[-1])
