"""Wraps environments in the codec of :mod:`rltune.engine.codec`, single or as several copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from rltune.envs.closing import close

from rltune.engine.codec import ACTION_MASK, OBSERVATIONS, ActionCodec, ObservationCodec, flat_mask
from rltune.engine.episodes import numbers


class MaskBeside(gym.Wrapper, RecordConstructorArgs):  # type: ignore[misc]
    """Adds the mask of ``action_masks()`` to each observation, in RLlib's form.

    Raises:
        ValueError: in reset or step, if the size of the mask differs from that of the actions.
    """

    def __init__(self, env: gym.Env[Any, Any], choices: int) -> None:
        RecordConstructorArgs.__init__(self, choices=choices)
        super().__init__(env)
        self._masks: Callable[[], Any] = env.get_wrapper_attr("action_masks")
        self._choices = choices
        mask = gym.spaces.MultiBinary(choices)
        parts = {OBSERVATIONS: env.observation_space, ACTION_MASK: mask}
        self.observation_space = gym.spaces.Dict(parts)

    def _with_mask(self, observation: Any) -> dict[str, Any]:
        mask = flat_mask(self._masks())
        if len(mask) != self._choices:
            raise ValueError(
                f"action_masks() gave {len(mask)} numbers, there are {self._choices} options of "
                "the actions"
            )
        return {OBSERVATIONS: observation, ACTION_MASK: mask.astype(np.int8)}

    def reset(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts an episode; returns the first observation and its mask."""
        observation, info = self.env.reset(**kwargs)
        return self._with_mask(observation), info

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """Takes a step; returns the observation and its mask."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(observation), reward, terminated, truncated, info


class OwnArrays(gym.ObservationWrapper, RecordConstructorArgs):  # type: ignore[misc]
    """Copies observations: some environments reuse one array in every step, or for all copies."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.observation = np.array


class EncodeObservations(gym.ObservationWrapper, RecordConstructorArgs):  # type: ignore[misc]
    """Converts observations to those that a policy reads."""

    def __init__(self, env: gym.Env[Any, Any], codec: ObservationCodec) -> None:
        RecordConstructorArgs.__init__(self, codec=codec)
        super().__init__(env)
        self.observation_space = codec.ours
        self.observation = codec.encode


class DecodeActions(gym.ActionWrapper, RecordConstructorArgs):  # type: ignore[misc]
    """Converts a policy's actions to the environment's."""

    def __init__(self, env: gym.Env[Any, Any], codec: ActionCodec) -> None:
        RecordConstructorArgs.__init__(self, codec=codec)
        super().__init__(env)
        self.action_space = codec.ours
        self.action = codec.decode


class Copies(SyncVectorEnv):  # type: ignore[misc]
    """Steps copies of an environment one after the other.

    Gymnasium's SyncVectorEnv merges every ``info`` into arrays, and fails on entries that authors
    do put there (a string after a number, arrays of changing length). This class keeps only the
    numbers in the last info of each episode: ``infos["final_info"]`` and ``infos["final_obs"]`` are
    lists with one entry per copy, None while its episode continues. Returned values do not change
    when an environment reuses its arrays and dicts in a later episode or in another copy.

    Args:
        makers: one function per copy, which makes it with the policy's observations.
        codec: converts the policy's actions.
        autoreset: SAME_STEP, or NEXT_STEP, whose final observations are the step's own.
        remake: makes a copy again that has raised; without it what it raises is raised.

    Attributes:
        failures: what copies raised in the last step or restart, by their number. They were made
            again, and their next step is spent on a reset.
        turn: the copy that is called, or was last; shape (1,) or more, and may be replaced.
    """

    failures: dict[int, Exception]
    turn: np.ndarray

    def __init__(
        self,
        makers: Sequence[Callable[[], gym.Env[Any, Any]]],
        codec: ActionCodec,
        autoreset: AutoresetMode = AutoresetMode.SAME_STEP,
        remake: Callable[[], gym.Env[Any, Any]] | None = None,
    ) -> None:
        super().__init__(makers, autoreset_mode=autoreset)
        self._remake = remake
        self.failures = {}
        self.turn = np.zeros(1, np.int64)
        self._at_once = autoreset == AutoresetMode.SAME_STEP
        #: Copies whose next step is spent on a reset.
        self._overdue = np.zeros(self.num_envs, dtype=bool)
        self._resting: set[int] = set()
        self._chosen: np.ndarray | None = None
        self._codec = codec
        self.single_action_space = codec.ours
        self.action_space = gym.vector.utils.batch_space(codec.ours, self.num_envs)

    def _add_info(
        self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int
    ) -> dict[str, Any]:
        """Discards infos: see the class."""
        return vector_infos

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode in every copy; a single seed belongs to the first copy."""
        seeds = seed if isinstance(seed, Sequence) else self._seeds(seed)
        self._overdue[:] = False
        for i, (env, its) in enumerate(zip(self.envs, seeds, strict=True)):
            self.turn[0] = i
            self._env_obs[i] = np.array(env.reset(seed=its, options=options)[0])
        return self._seen(), {}

    def restart(self, copies: Sequence[int], seeds: Sequence[int] | None = None) -> np.ndarray:
        """Begins new episodes in some copies, from seeds of their own if given.

        Returns:
            The observations of all copies.
        """
        self.failures = {}
        self._resting.difference_update(copies)
        for place, copy in enumerate(copies):
            self._begin(copy, None if seeds is None else seeds[place])
        return self._seen()

    def rest(self, copies: Sequence[int]) -> None:
        """Leaves some copies as they are in every step, until they are restarted."""
        for copy in copies:
            self._clear(copy)
        self._resting.update(copies)

    def step_some(
        self, actions: np.ndarray, chosen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps copies that are ``chosen``, bool (N,), and leaves all others as they are."""
        self._chosen = chosen
        try:
            return self.step(actions)
        finally:
            self._chosen = None

    def _seeds(self, first: int | None) -> Sequence[int | None]:
        return [None if first is None else first + i for i in range(self.num_envs)]

    def _seen(self) -> np.ndarray:
        dtype = self.single_observation_space.dtype
        return np.stack(self._env_obs, dtype=dtype, casting="same_kind")

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps every copy, and resets those whose episode has ended, now or with the next step."""
        final_obs: list[Any] = [None] * self.num_envs
        final_info: list[Any] = [None] * self.num_envs
        over = False
        self.failures = {}
        for i, action in enumerate(self._codec.split(actions)):
            if i in self._resting or (self._chosen is not None and not self._chosen[i]):
                continue
            if self._overdue[i]:
                self._clear(i)
                self._begin(i)
                continue
            info = self._step_one(i, action)
            if self._terminations[i] or self._truncations[i]:
                over = True
                final_obs[i], final_info[i] = self._env_obs[i], numbers(info)
                self._overdue[i] = True
                if self._at_once:
                    self._begin(i)
        return (
            self._seen(),
            self._rewards.copy(),
            self._terminations.copy(),
            self._truncations.copy(),
            {"final_obs": final_obs, "final_info": final_info} if over else {},
        )

    def _step_one(self, i: int, action: Any) -> dict[str, Any]:
        """Steps a copy. Returns its info."""
        self.turn[0] = i
        try:
            obs, self._rewards[i], terminated, truncated, info = self.envs[i].step(action)
            self._env_obs[i] = np.array(obs)
            self._terminations[i], self._truncations[i] = terminated, truncated
        except Exception as error:
            self._clear(i)
            self._fail(i, error)
            return {}
        its_info: dict[str, Any] = info
        return its_info

    def _begin(self, i: int, seed: int | None = None) -> None:
        """Resets a copy."""
        self.turn[0] = i
        try:
            self._env_obs[i] = np.array(self.envs[i].reset(seed=seed)[0])
        except Exception as error:
            self._fail(i, error)
        else:
            self._overdue[i] = False

    def _clear(self, i: int) -> None:
        """Makes a copy's step one in which nothing happens."""
        self._rewards[i] = 0.0
        self._terminations[i] = self._truncations[i] = False

    def _fail(self, i: int, error: Exception) -> None:
        """Makes a copy again that has raised; the next step is spent on its reset."""
        if self._remake is None:
            raise error
        self._overdue[i] = True
        self.failures[i] = error
        try:
            made = self._remake()
        except Exception as again:
            self.failures[i] = again
            return
        close(self.envs[i])
        self.envs[i] = made
