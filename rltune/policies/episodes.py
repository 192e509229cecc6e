"""Plays whole episodes with a policy in this process, some of them side by side."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from rltune import envs
from rltune.engine.episodes import Episode, numbers
from rltune.engine.torch_settings import TorchSettingsGuard
from rltune.errors import described
from rltune.metric import Metric
from rltune.processes.subprocess_guard import Guard
from rltune.processes.watchdog import where
from rltune.spec import RunSpec

#: Number of episodes that a process plays together.
TOGETHER = 20


class ActingPolicy(Protocol):
    """A policy that acts greedily.

    Attributes:
        frame_stack: number of observations joined into its input.
        form: how it reads observations.
    """

    frame_stack: int
    form: str

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Returns actions for observations (N, ...), both as in :func:`rltune.envs.make`."""


@dataclass(frozen=True)
class Lost:
    """An episode without a return.

    Attributes:
        error: what happened.
        final: whether a retry would fail in the same way: a reward or an observation is not finite,
            or the policy cannot be loaded. The policy then has no score.
    """

    error: str
    final: bool = False


def play(
    policy: ActingPolicy,
    spec: RunSpec,
    seeds: Sequence[int],
    guard: Guard | None = None,
    copies: int = TOGETHER,
) -> list[float | Lost]:
    """Returns the undiscounted return of one episode per seed, some of them in parallel.

    If the run tunes another metric, returns its values, NaN for an episode without it.

    Each episode has its own copy of the environment, which is closed before the next one is made.
    An episode should depend on ``reset(seed)`` alone; if an environment carries over state to the
    next episode, the score must not depend on which episodes shared a process.

    Args:
        guard: context around each call of an environment.
        copies: greatest number of copies of the environment at any time.
    """
    stage = _Stage(policy, spec, TorchSettingsGuard(guard or nullcontext()))
    waiting = deque(enumerate(seeds))
    while waiting or stage.running:
        while waiting and len(stage.running) < copies:
            stage.begin(*waiting.popleft())
        stage.step()
    return [stage.outcomes[number] for number in range(len(seeds))]


class _NotFinite(Exception):
    """A reward or an observation is NaN or infinite."""


class _Episode:
    """One copy of the environment, from a reset to the end of the episode."""

    env: gym.Env[Any, Any] | None = None

    def __init__(self) -> None:
        self.total, self.steps = 0.0, 0

    def begin(self, make: Callable[[], gym.Env[Any, Any]], seed: int) -> None:
        """Makes the copy and resets it."""
        self.env = make()
        self.obs, _ = self.env.reset(seed=seed)

    def step(self, action: Any) -> bool:
        """Takes an action. Returns whether the episode is over."""
        assert self.env is not None
        self.obs, reward, terminated, truncated, self.info = self.env.step(action)
        self.steps += 1
        self.total += float(reward)
        if not math.isfinite(self.total):
            raise _NotFinite(f"the reward is {float(reward)} at step {self.steps} of an episode")
        return bool(terminated or truncated)

    def value(self, goal: Metric) -> float:
        """Returns the metric of a finished episode; NaN if it lacks it."""
        ended = Episode(self.total, self.steps, numbers(self.info))
        return ended.measured.get(goal.name, math.nan)


class _Stage:
    """Plays episodes in parallel, with one batch of actions per step.

    Attributes:
        running: running episodes by number.
        outcomes: outcomes of the finished episodes by number.
    """

    def __init__(self, policy: ActingPolicy, spec: RunSpec, guard: Guard) -> None:
        self._policy = policy
        env_args = spec.env_options.env_args
        self._make = partial(envs.make, spec.env_id, env_args, policy.frame_stack, policy.form)
        self._guard = guard
        self._goal = spec.goal
        self.running: dict[int, _Episode] = {}
        self.outcomes: dict[int, float | Lost] = {}

    def begin(self, number: int, seed: int) -> None:
        """Begins an episode."""
        episode = self.running[number] = _Episode()
        self._attempt(number, partial(episode.begin, self._make, seed))

    def step(self) -> None:
        """Takes one step in every running episode."""
        if not self.running:
            return
        obs = np.stack([episode.obs for episode in self.running.values()])
        if obs.dtype.kind == "f" and not np.isfinite(obs).all():
            self._end_blind()
            return
        actions = self._policy.act(obs)
        for (number, episode), action in zip(list(self.running.items()), actions, strict=True):
            if self._attempt(number, partial(episode.step, action)):
                self._end(number, episode.value(self._goal))

    def _attempt(self, number: int, call: Callable[[], bool | None]) -> bool:
        """Calls the environment and returns its result; an episode in which it raises is lost."""
        try:
            with self._guard:
                return bool(call())
        except _NotFinite as error:
            self._end(number, Lost(str(error), final=True))
        except Exception as error:  # an environment may raise anything
            self._end(number, Lost(f"{described(error)} in {where(error)}"))
        return False

    def _end_blind(self) -> None:
        """Ends the episodes whose observation is not finite."""
        for number, episode in list(self.running.items()):
            if not np.isfinite(episode.obs).all():
                told = f"an observation is not finite after step {episode.steps} of an episode"
                self._end(number, Lost(told, final=True))

    def _end(self, number: int, outcome: float | Lost) -> None:
        env = self.running.pop(number).env
        self.outcomes[number] = outcome
        if env is not None:
            with self._guard:
                envs.close(env)
