"""Honest scores: fresh seeds, whole episodes, intervals."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from scipy import stats

from rltune import envs
from rltune.algorithms.policy import load_policy
from rltune.errors import BadInput
from rltune.runs import BEST, RunFolder
from rltune.spec import FIRST_EVALUATION_SEED, FIRST_SELECTION_SEED, RunSpec

#: Environments stepped together during an evaluation.
ENVS = 20
BOOTSTRAP_RESAMPLES = 10_000
#: Checkpoints that play for being the best, and the episodes each of them plays.
CANDIDATES = 5
SELECTION_EPISODES = 20


class Acts(Protocol):
    """Chooses actions, without exploring.

    Attributes:
        frame_stack: observations joined to the one it acts on.
    """

    frame_stack: int

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
    """``count`` distinct seeds that neither training nor selection can draw."""
    return _seeds(np.random.default_rng([seed, 2]), FIRST_EVALUATION_SEED, count)


def selection_seeds(seed: int, count: int) -> list[int]:
    """``count`` distinct seeds for choosing between checkpoints."""
    return _seeds(np.random.default_rng([seed, 3]), FIRST_SELECTION_SEED, count)


def _seeds(rng: np.random.Generator, first: int, count: int) -> list[int]:
    drawn = rng.choice(FIRST_EVALUATION_SEED - FIRST_SELECTION_SEED, count, replace=False)
    return [first + int(seed) for seed in drawn]


def evaluate(folder: RunFolder, episodes: int = 100, seed: int | None = None) -> Evaluation:
    """Evaluates a run's best policy, without Ray.

    Args:
        seed: of the evaluation; None for the run's own.

    Raises:
        BadInput: the run has no policy, or its checkpoint cannot be read.
    """
    spec = folder.spec
    if folder.best_record is None:
        raise BadInput(f"{folder.shown} has no policy yet: no trial has left a checkpoint")
    policy = load_policy(spec, folder, folder.path / BEST)
    seeds = evaluation_seeds(spec.seed if seed is None else seed, episodes)
    return summarise(play(policy, spec, seeds), seeds)


def select(folder: RunFolder) -> float | None:
    """Makes the best of a run's checkpoints its best/checkpoint.

    The record of a trial is behind its weights: the episodes in it were played while they were
    still being changed. So the few checkpoints with the best records play a few episodes each, as
    they are and without exploring, all on the same seeds, and the best of them is kept. The
    better record decides between equals.

    Returns:
        The mean return it was chosen on; None where no trial has left a checkpoint.
    """
    spec = folder.spec
    seeds = selection_seeds(spec.seed, SELECTION_EPISODES)
    best: tuple[float, Path] | None = None
    for checkpoint in folder.checkpoints()[:CANDIDATES]:
        policy = load_policy(spec, folder, checkpoint)
        score = float(np.mean(play(policy, spec, seeds)))
        if best is None or score > best[0]:
            best = (score, checkpoint)
    if best is None:
        return None
    folder.keep_best(best[1], trial=best[1].parts[-3])
    return best[0]


def play(policy: Acts, spec: RunSpec, seeds: Sequence[int]) -> list[float]:
    """The undiscounted return of one episode a seed, in their order.

    A seed fixes its episode: each is reset with its own, whatever runs beside it.
    """
    waiting = deque(enumerate(seeds))
    returns = [0.0] * len(seeds)
    copies = [
        envs.make(spec.env_id, spec.env_args, policy.frame_stack)
        for _ in range(min(ENVS, len(seeds)))
    ]
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
