"""EnvPool's vectorised environments (Weng et al. 2022, arXiv 2206.10558), for training alone.

They step in C++ instead of Python. Their random numbers differ from gymnasium's, and one seed
always gives the same ones. Scores always come from gymnasium.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from rltune.envs.closing import close
from rltune.envs.info import EnvInfo, bare

from rltune.engine.codec import ActionCodec


def problem(env: EnvInfo, frame_stack: int, env_args: Mapping[str, Any]) -> str | None:
    """Returns why EnvPool cannot step an environment; None if it can."""
    if not env.pooled:
        return f"EnvPool was not found to step {env.name} faster, with the same returns"
    if frame_stack > 1 or set(env_args) - {"max_episode_steps"}:
        return "EnvPool takes neither frame_stack nor arguments of an environment's constructor"
    if find_spec("envpool") is None:
        return "EnvPool is not installed. Install it with: pip install 'rltune[envpool]'"
    return None


def _envpool() -> Any:
    try:
        return import_module("envpool")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "EnvPool is not installed on the machine of this trial, as it is where the run was "
            "started: pip install 'rltune[envpool]' there, or run with `simulator='gymnasium'`",
            name=error.name,
        ) from error


class Pooled(VectorWrapper):  # type: ignore[misc]
    """``num_envs`` environments of EnvPool with the spaces of gymnasium's.

    One thread steps them, because a trial has one core. EnvPool takes a seed only when it is made,
    so a reset with a seed makes it again.

    Args:
        env_id: id of gymnasium and EnvPool.
        like: gymnasium's environment, for its spaces and time limit. It is closed.
        codec: converts the policy's actions.
    """

    env: VectorEnv

    def __init__(
        self, env_id: str, num_envs: int, like: gym.Env[Any, Any], codec: ActionCodec
    ) -> None:
        self._kind = partial(
            _envpool().make_gymnasium,
            bare(env_id),
            num_envs=num_envs,
            num_threads=1,
            max_episode_steps=like.spec.max_episode_steps if like.spec else None,
        )
        super().__init__(self._made())
        self._actions = self.env.single_action_space.dtype
        self.single_observation_space = like.observation_space
        self._codec = codec
        self.single_action_space = codec.ours
        self.observation_space = batch_space(like.observation_space, num_envs)
        self.action_space = batch_space(codec.ours, num_envs)
        close(like)

    def _made(self, **seed: int) -> VectorEnv:
        env = self._kind(**seed)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of Acrobot's bounds, which lose digits, at every reset
            _ = env.observation_space
        return env

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes, from a seed if one is given."""
        if seed is not None:
            self.env.close()
            self.env = self._made(seed=seed)
        obs, info = self.env.reset()
        return obs, info

    def step(self, actions: NDArray[Any]) -> tuple[Any, ...]:
        """Steps every copy; resets those whose episode ended in the previous step."""
        result: tuple[Any, ...] = self.env.step(
            np.ascontiguousarray(self._codec.decode(actions), self._actions)
        )
        return result
