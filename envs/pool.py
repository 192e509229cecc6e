"""EnvPool's vectorised environments (Weng et al. 2022, arXiv 2206.10558), for training alone.

They step in C++ where gymnasium steps in Python. Their episodes start from other draws than
gymnasium's, from one seed the same ones each time. Scores are gymnasium's always.
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
    """Why EnvPool cannot step an environment; None where it can."""
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
            "started: pip install 'rltune[envpool]' there, or run with --simulator gymnasium",
            name=error.name,
        ) from error


class Pooled(VectorWrapper):  # type: ignore[misc]
    """``num_envs`` of EnvPool's environments behind the spaces of gymnasium's.

    One thread steps them: a trial has a core of its own and no more. EnvPool takes a seed when it
    is made and never after, so that a reset with a seed makes it anew.

    Args:
        env_id: gymnasium's, which is EnvPool's too.
        like: one of gymnasium's, whose spaces and time limit they get. It is closed.
        codec: of its actions, which come as a policy says them.
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
            warnings.simplefilter("ignore")  # Acrobot's bounds lose digits; it tells at every reset
            _ = env.observation_space
        return env

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts episodes anew, from a seed where one is given."""
        if seed is not None:
            self.env.close()
            self.env = self._made(seed=seed)
        obs, info = self.env.reset()
        return obs, info

    def step(self, actions: NDArray[Any]) -> tuple[Any, ...]:
        """Steps every copy. Those whose episode ended the step before are reset instead."""
        result: tuple[Any, ...] = self.env.step(
            np.ascontiguousarray(self._codec.decode(actions), self._actions)
        )
        return result
