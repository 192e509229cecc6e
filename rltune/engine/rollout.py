"""Rollouts as arrays, and the quantities computed from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rltune.engine.episodes import Episode

#: Times that failing environments are made again without an episode having ended in between.
MAX_RESTARTS = 3


@dataclass
class Rollout:
    """``T`` steps of ``N`` environments stepped together.

    Attributes:
        obs: shape (T, N, ...), observation before the action.
        next_obs: shape (T, N, ...), observation after the action; at an episode's end its last
            observation, never the first of the next episode.
        actions: shape (T, N, ...), as the policy chose them.
        rewards: shape (T, N), float32.
        terminated: shape (T, N), whether the task ended here: no bootstrapping from next_obs.
        truncated: shape (T, N), whether the episode was cut off here: next_obs is bootstrapped.
        valid: shape (T, N); false where gymnasium's NEXT_STEP autoreset used the step for a reset.
            Such rows are not experience.
        extras: further arrays of the policy, shape (T, N, ...), such as log-probabilities.
        episodes: episodes that ended in this rollout.
        running: steps so far of the running episode of each environment, after the last step.
        events: events of the environments, each a ``kind`` with its details.
        continues: whether the first step continues the previous rollout; false after the
            environments were reset.
    """

    obs: np.ndarray
    next_obs: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    valid: np.ndarray
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    episodes: list[Episode] = field(default_factory=list)
    running: list[int] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    continues: bool = False

    @classmethod
    def join(cls, rollouts: list[Rollout]) -> Rollout:
        """Joins the rollouts of several runners, as if one runner had all their environments."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(rollout, name) for rollout in rollouts], axis=1)
            for name in STEP_COLUMNS
        }
        return cls(**columns, continues=all(rollout.continues for rollout in rollouts))

    def steps(self, start: int, stop: int) -> Rollout:
        """Returns a range of its steps, without extras and episodes."""
        columns: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in STEP_COLUMNS}
        return Rollout(**columns)

    @property
    def episode_returns(self) -> list[float]:
        """Undiscounted return of each episode that ended in this rollout."""
        return [episode.reward for episode in self.episodes]

    @property
    def episode_lengths(self) -> list[int]:
        """Length in steps of each episode that ended in this rollout."""
        return [episode.length for episode in self.episodes]

    @property
    def env_steps(self) -> int:
        """Environment steps taken; steps used for a reset do not count."""
        return int(self.valid.sum())


@dataclass
class Finished:
    """Episodes that were played to their end for their returns alone.

    Attributes:
        episodes: the finished episodes.
        env_steps: environment steps taken for this, over all copies.
        events: see :class:`Rollout`.
    """

    episodes: list[Episode]
    env_steps: int
    events: list[dict[str, Any]]


#: The fields of a rollout with one row per step.
STEP_COLUMNS = ("obs", "next_obs", "actions", "rewards", "terminated", "truncated", "valid")


def gae(
    rewards: np.ndarray,
    values: np.ndarray,
    next_values: np.ndarray,
    terminated: np.ndarray,
    done: np.ndarray,
    gamma: float,
    lambda_: float,
) -> np.ndarray:
    """Computes generalised advantage estimates (Schulman et al. 2016).

    All arrays have shape (T, N). ``next_values`` are the values of the observations after each
    step; ``done`` is true where an episode ended, terminated or truncated. Returns float32 (T, N).
    """
    deltas = rewards + gamma * next_values * ~terminated - values
    decay = gamma * lambda_ * ~done
    advantages = np.empty_like(deltas, dtype=np.float32)
    running = np.zeros_like(deltas[0])
    for t in range(len(deltas) - 1, -1, -1):
        running = deltas[t] + decay[t] * running
        advantages[t] = running
    return advantages


def clip_rewards(rewards: np.ndarray, how: bool | float | None) -> np.ndarray:
    """Clips rewards as RLlib's ``clip_rewards`` does: True keeps only their signs."""
    if not how:
        return rewards
    clipped: np.ndarray = np.sign(rewards) if how is True else rewards.clip(-abs(how), abs(how))
    return clipped
