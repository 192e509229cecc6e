"""Honest scores: fresh seeds, whole episodes, intervals."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from scipy import stats

from rltune import envs
from rltune.algorithms.policy import load_policy
from rltune.runs import RunFolder
from rltune.spec import FIRST_EVALUATION_SEED, RunSpec

#: Environments stepped together during an evaluation.
ENVS = 20
BOOTSTRAP_RESAMPLES = 10_000


class Acts(Protocol):
    """Chooses actions, without exploring."""

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions for observations of shape (N, ...), as the environment takes them."""


@dataclass(frozen=True)
class Evaluation:
    """Returns of whole episodes, one a seed.

    Attributes:
        mean: of the undiscounted returns.
        iqm: interquartile mean (Agarwal et al. 2021, arXiv 2108.13264).
        ci95: 95 % percentile bootstrap interval of the mean, [low, high].
        seeds: seed of each episode; none was used in training or selection.
        returns: of each episode, in the order of the seeds.
    """

    mean: float
    iqm: float
    ci95: tuple[float, float]
    episodes: int
    seeds: list[int]
    returns: list[float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def summarise(returns: Sequence[float], seeds: Sequence[int]) -> Evaluation:
    """The statistics of returns; shapes ``(episodes,)``."""
    values = np.asarray(returns, dtype=float)
    low, high = values.mean(), values.mean()
    if len(values) > 1 and np.ptp(values) > 0:
        interval = stats.bootstrap(
            (values,), np.mean, n_resamples=BOOTSTRAP_RESAMPLES, method="percentile", rng=0
        ).confidence_interval
        low, high = interval.low, interval.high
    return Evaluation(
        mean=float(values.mean()),
        iqm=float(stats.trim_mean(values, 0.25)),
        ci95=(float(low), float(high)),
        episodes=len(values),
        seeds=list(seeds),
        returns=values.tolist(),
    )


def evaluation_seeds(seed: int, count: int) -> list[int]:
    """``count`` distinct seeds that no training run can draw."""
    rng = np.random.default_rng([seed, 2])
    drawn = rng.choice(FIRST_EVALUATION_SEED, count, replace=False)
    return [FIRST_EVALUATION_SEED + int(seed) for seed in drawn]


def evaluate(folder: RunFolder, episodes: int = 100, seed: int | None = None) -> Evaluation:
    """Evaluates a run's best policy, without Ray.

    Args:
        seed: of the evaluation; None for the run's own.

    Raises:
        BadInput: the run has no policy, or its checkpoint cannot be read.
    """
    spec = folder.spec
    policy = load_policy(spec, folder)
    seeds = evaluation_seeds(spec.seed if seed is None else seed, episodes)
    return summarise(play(policy, spec, seeds), seeds)


def play(policy: Acts, spec: RunSpec, seeds: Sequence[int]) -> list[float]:
    """The undiscounted return of one episode a seed, in their order.

    A seed fixes its episode: each is reset with its own, whatever runs beside it.
    """
    waiting = deque(enumerate(seeds))
    returns = [0.0] * len(seeds)
    copies = [envs.make(spec.env_id, spec.env_args) for _ in range(min(ENVS, len(seeds)))]
    running: list[tuple[gym.Env[Any, Any], int, np.ndarray]] = []
    for env in copies:
        episode, seed = waiting.popleft()
        running.append((env, episode, env.reset(seed=seed)[0]))
    while running:
        actions = policy.act(np.stack([obs for _, _, obs in running]))
        still: list[tuple[gym.Env[Any, Any], int, np.ndarray]] = []
        for (env, episode, _), action in zip(running, actions, strict=True):
            obs, reward, terminated, truncated, _ = env.step(action)
            returns[episode] += float(reward)
            if not (terminated or truncated):
                still.append((env, episode, obs))
            elif waiting:
                episode, seed = waiting.popleft()
                still.append((env, episode, env.reset(seed=seed)[0]))
        running = still
    for env in copies:
        env.close()
    return returns
