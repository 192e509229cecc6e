"""A stretch of experience as arrays, and what is computed from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rltune.engine.episodes import Episode


@dataclass
class Rollout:
    """``T`` steps of ``N`` environments stepped together.

    Attributes:
        obs: shape (T, N, ...), what the action was chosen on.
        next_obs: shape (T, N, ...), what the step led to; at an episode's end its last
            observation, never the first of the next episode.
        actions: shape (T, N, ...), as the policy chose them.
        rewards: shape (T, N), float32.
        terminated: shape (T, N), the task ended here: nothing follows to bootstrap from.
        truncated: shape (T, N), the episode was cut here: the value of next_obs still counts.
        valid: shape (T, N); false where gymnasium's NEXT_STEP autoreset spent the step on a
            reset. Such rows are no experience.
        extras: further arrays of shape (T, N, ...), the policy's own (log-probabilities).
        episodes: those that ended here.
        running: steps so far, after the last step, of the episode of each environment.
        events: what happened to the environments meanwhile, each a ``kind`` with its particulars.
        continues: the first step starts from what the last rollout's last step led to; false
            after the environments were reset.
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
        """The rollouts of several runners side by side, as of one with all their environments."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(rollout, name) for rollout in rollouts], axis=1)
            for name in STEP_COLUMNS
        }
        return cls(**columns, continues=all(rollout.continues for rollout in rollouts))

    def steps(self, start: int, stop: int) -> Rollout:
        """A part of it: its steps alone, without extras and episodes."""
        columns: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in STEP_COLUMNS}
        return Rollout(**columns)

    @property
    def episode_returns(self) -> list[float]:
        """Undiscounted return of each episode that ended here."""
        return [episode.reward for episode in self.episodes]

    @property
    def episode_lengths(self) -> list[int]:
        """Its length in steps."""
        return [episode.length for episode in self.episodes]

    @property
    def env_steps(self) -> int:
        """Environment steps taken; steps spent on a reset do not count."""
        return int(self.valid.sum())


@dataclass
class Finished:
    """Episodes that were played to their end for their return alone.

    Attributes:
        env_steps: that this took, all copies counted.
        events: see :class:`Rollout`.
    """

    episodes: list[Episode]
    env_steps: int
    events: list[dict[str, Any]]


#: The fields of a rollout that hold a row a step.
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
    """Generalised advantage estimates (Schulman et al. 2016).

    All arrays have shape (T, N). ``next_values`` are the values of what each step led to;
    ``done`` is true where an episode ended, terminated or truncated. Returns float32 (T, N).
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
    """Rewards to learn from, as RLlib's ``clip_rewards`` has it: True for their signs alone."""
    if not how:
        return rewards
    clipped: np.ndarray = np.sign(rewards) if how is True else rewards.clip(-abs(how), abs(how))
    return clipped
