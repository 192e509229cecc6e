"""Honest scores: fresh seeds, whole episodes, intervals."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from rltune import envs, machine
from rltune.algorithms.policy import Policy, load_policy
from rltune.envs.arguments import canonical
from rltune.errors import BadInput, EnvironmentFailed, ProcessEnded
from rltune.isolated import Guard, Work, each_isolated
from rltune.runs import BEST, RunFolder, rank
from rltune.spec import FIRST_EVALUATION_SEED, FIRST_SELECTION_SEED, RunSpec
from rltune.statistics import better, interval, iqm

#: Episodes that a process plays together.
TOGETHER = 20
#: Checkpoints that play for being the best, and the episodes each of them plays.
CANDIDATES = 5
SELECTION_EPISODES = 20


class Acts(Protocol):
    """Chooses actions, without exploring.

    Attributes:
        frame_stack: observations joined to the one it acts on.
        form: how it reads them.
    """

    frame_stack: int
    form: str

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions for observations of shape (N, ...), as :func:`rltune.envs.make` has both."""


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
    return Evaluation(
        mean=float(values.mean()),
        iqm=float(iqm(values)),
        ci95=interval(values),
        episodes=len(values),
        seeds=list(seeds),
        returns=values.tolist(),
    )


def evaluation_seeds(seed: int, count: int, trial: int | None = None) -> list[int]:
    """``count`` distinct seeds that neither training nor selection can draw.

    Args:
        seed: of the run.
        trial: its number, where every trial of a run is scored by itself.
    """
    return _seeds([seed, 2], trial, FIRST_EVALUATION_SEED, count)


def selection_seeds(seed: int, count: int, trial: int | None = None) -> list[int]:
    """``count`` distinct seeds for choosing between checkpoints."""
    return _seeds([seed, 3], trial, FIRST_SELECTION_SEED, count)


def _seeds(entropy: list[int], trial: int | None, first: int, count: int) -> list[int]:
    rng = np.random.default_rng(entropy if trial is None else [*entropy, trial])
    drawn = rng.choice(FIRST_EVALUATION_SEED - FIRST_SELECTION_SEED, count, replace=False)
    return [first + int(seed) for seed in drawn]


def evaluate(folder: RunFolder, episodes: int = 100, seed: int | None = None) -> Evaluation:
    """Evaluates a run's best policy, without Ray.

    Args:
        seed: of the evaluation; None for the run's own.

    Raises:
        BadInput: the run has no policy, or its checkpoint cannot be read.
    """
    check_has_policy(folder)
    seeds = evaluation_seeds(folder.spec.seed if seed is None else seed, episodes)
    return score(folder, folder.path / BEST, seeds)


def best_policy(folder: RunFolder) -> Policy:
    """A run's best policy.

    Raises:
        BadInput: the run has none, or its checkpoint cannot be read.
    """
    check_has_policy(folder)
    return load_policy(folder.spec, folder, folder.path / BEST)


def check_has_policy(folder: RunFolder) -> None:
    """Raises BadInput for a run that has left none."""
    if folder.best_record is None:
        raise BadInput(f"{folder.shown} has no policy yet: no trial has left a checkpoint")


def score(folder: RunFolder, checkpoint: Path, seeds: Sequence[int]) -> Evaluation:
    """Evaluates the policy of one of a run's checkpoints, see :func:`scores`."""
    return scores(folder, [checkpoint], seeds)[0]


def scores(
    folder: RunFolder, checkpoints: Sequence[Path], seeds: Sequence[int]
) -> list[Evaluation]:
    """Evaluates the policies of a run's checkpoints, an episode a seed.

    They play in processes of their own, as many as cores: an environment that hangs does not take
    us along.

    Raises:
        EnvironmentFailed: it hung, or crashed.
    """
    spec = folder.spec

    def work(checkpoint: Path, some: Sequence[int], guard: Guard) -> list[float]:
        return play(load_policy(spec, folder, checkpoint), spec, some, guard)

    parts = [seeds[first : first + TOGETHER] for first in range(0, len(seeds), TOGETHER)]
    works = [partial(work, checkpoint, part) for checkpoint in checkpoints for part in parts]
    try:
        played = _played(works, spec)
    except ProcessEnded as ended:
        command = "evaluate" if folder.summary else "resume"
        raise EnvironmentFailed(
            f"environment {spec.env_id}, while a policy was scored: {ended.report or ended}\n"
            f"What was trained is kept. Try again with: rltune {command} {folder.shown}"
        ) from None
    of_each = [played[first : first + len(parts)] for first in range(0, len(played), len(parts))]
    return [summarise([r for part in found for r in part], seeds) for found in of_each]


def compare(
    folders: Sequence[RunFolder], episodes: int = 100, seed: int | None = None
) -> dict[str, Any]:
    """Runs beside each other, every policy on the same fresh seeds.

    A run of several seeds is as many scores, each the mean return of a seed's policy. Any other
    run has one policy, and its scores are its episodes: they tell how it varies from episode to
    episode, not from training to training.

    Returns:
        ``episodes`` and ``runs``, each with ``run, unit, scores, mean, iqm, ci95`` (of the IQM)
        and ``improvement``: ``probability`` that a score of it beats one of the first run's, and
        its ``ci95``; None for the first.

    Raises:
        BadInput: the runs are of different environments, or one of them has no policy.
    """
    names = {(folder.spec.env_id, canonical(folder.spec.env_args)) for folder in folders}
    if len(names) > 1:
        shown = ", ".join(sorted(f"{env_id} {args}" for env_id, args in names))
        raise BadInput(f"returns of different environments cannot be compared: {shown}")
    seeds = evaluation_seeds(folders[0].spec.seed if seed is None else seed, episodes)
    runs: list[dict[str, Any]] = []
    for folder in folders:
        of_seeds = (folder.summary or {}).get("seeds")
        if of_seeds:
            paths = [folder.path / body["checkpoint"] for body in of_seeds]
            values = [result.mean for result in scores(folder, paths, seeds)]
        else:
            check_has_policy(folder)
            values = score(folder, folder.path / BEST, seeds).returns
        first = runs[0]["scores"] if runs else None
        runs.append(
            {
                "run": folder.shown,
                "unit": "seeds" if of_seeds else "episodes",
                "scores": values,
                "mean": float(np.mean(values)),
                "iqm": float(iqm(values)),
                "ci95": list(interval(values, of=iqm)),
                "improvement": first and better(values, first),
            }
        )
    return {"episodes": episodes, "runs": runs}


def _played(works: Sequence[Work[list[float]]], spec: RunSpec) -> list[list[float]]:
    """The returns of each part, side by side.

    An end that leaves no trace is given a second try: it need not be the environment's doing, as a
    process with threads cannot be forked without any risk.
    """
    at_a_time = spec.concurrent or machine.cores().amount
    answers = each_isolated(works, spec.env_timeout, at_a_time)
    if any(isinstance(one, ProcessEnded) and not one.report for one in answers):
        answers = each_isolated(works, spec.env_timeout, at_a_time)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return cast("list[list[float]]", answers)


@dataclass(frozen=True)
class Candidate:
    """A checkpoint and its mean return on selection seeds."""

    checkpoint: Path
    env_steps: int
    score: float


def audition(
    folder: RunFolder, checkpoints: Sequence[Path], seeds: Sequence[int]
) -> list[Candidate]:
    """Lets the policies of checkpoints play on the same seeds, as they are and without exploring.

    The record of a trial is behind its weights: the episodes in it were played while they were
    still being changed.
    """
    return [
        Candidate(checkpoint, folder.record(checkpoint)["env_steps"], result.mean)
        for checkpoint, result in zip(checkpoints, scores(folder, checkpoints, seeds), strict=True)
    ]


def winner(folder: RunFolder, found: Sequence[Candidate]) -> Candidate:
    """The one with the highest score. The better record decides between equals."""
    return max(found, key=lambda one: (one.score, rank(folder.record(one.checkpoint))))


def select(folder: RunFolder) -> Candidate | None:
    """Makes the best of a run's checkpoints its best/checkpoint; None where there is none.

    The few checkpoints with the best records play for it.
    """
    seeds = selection_seeds(folder.spec.seed, SELECTION_EPISODES)
    found = audition(folder, folder.checkpoints()[:CANDIDATES], seeds)
    if not found:
        return None
    best = winner(folder, found)
    folder.keep_best(best.checkpoint, trial=best.checkpoint.parts[-3])
    return best


def play(
    policy: Acts, spec: RunSpec, seeds: Sequence[int], guard: Guard | None = None
) -> list[float]:
    """The undiscounted return of one episode a seed, all of them side by side.

    Args:
        guard: entered around the calls of the environments that belong to one step.
    """
    guard = guard or nullcontext()
    returns = [0.0] * len(seeds)
    with guard:
        made = partial(envs.make, spec.env_id, spec.env_args, policy.frame_stack, policy.form)
        copies = [made() for _ in seeds]
        seen = [env.reset(seed=seed)[0] for env, seed in zip(copies, seeds, strict=True)]
    running = list(range(len(seeds)))
    while running:
        actions = policy.act(np.stack([seen[episode] for episode in running]))
        still = []
        with guard:
            for episode, action in zip(running, actions, strict=True):
                seen[episode], reward, terminated, truncated, _ = copies[episode].step(action)
                returns[episode] += float(reward)
                if not (terminated or truncated):
                    still.append(episode)
        running = still
    with guard:
        for env in copies:
            env.close()
    return returns
