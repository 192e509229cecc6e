"""Honest scores: fresh seeds, whole episodes, intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rltune.algorithms.policy import Policy, load_policy
from rltune.catalog.environments import check_there
from rltune.engine.episodes import REWARD
from rltune.envs.arguments import canonical
from rltune.errors import BadInput, EnvironmentFailed
from rltune.policies.scoring import Score, scores
from rltune.runs.folder import BEST, RunFolder, rank
from rltune.spec import FIRST_EVALUATION_SEED, FIRST_SELECTION_SEED
from rltune.statistics import better, interval, iqm


@dataclass(frozen=True)
class Evaluation:
    """What whole episodes came to, one a seed: their returns, or the metric that the run tuned.

    Attributes:
        mean: of the undiscounted returns, or of the metric.
        iqm: interquartile mean (Agarwal et al. 2021, arXiv 2108.13264).
        ci95: 95 % percentile bootstrap interval of the mean, [low, high].
        seeds: seed of each episode; none was used in training or selection.
        returns: of each episode, in the order of the seeds, or its metric; episodes without it
            are left out.
        unscored: episodes that the environment did not let come to an end, with their seeds.
        metric: what it is of, by name.
    """

    mean: float
    iqm: float
    ci95: tuple[float, float]
    episodes: int
    seeds: list[int]
    returns: list[float]
    unscored: list[dict[str, Any]] = field(default_factory=list)
    metric: str = REWARD

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


def evaluated(score: Score, seeds: Sequence[int], metric: str) -> Evaluation | None:
    """The statistics of a policy's returns, or of another metric; None where it has no score."""
    if score.mean is None:
        return None
    played = [seed for seed in seeds if not math.isnan(score.returns.get(seed, math.nan))]
    found = summarise([score.returns[seed] for seed in played], played)
    return replace(found, unscored=score.unscored(), metric=metric)


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


def evaluate(folder: RunFolder, episodes: int | None = None, seed: int | None = None) -> Evaluation:
    """Evaluates a run's best policy, without Ray.

    Args:
        episodes: whole ones, a seed each; None for as many as the run's score has.
        seed: of the evaluation; None for the run's own.

    Raises:
        BadInput: the run has no policy, or its checkpoint cannot be read.
        EnvironmentFailed: there is no score: no episode came to an end, or a return is not finite.
    """
    check_has_policy(folder)
    spec = folder.spec
    count = episodes or spec.evaluation.episodes
    seeds = evaluation_seeds(spec.seed if seed is None else seed, count)
    score = score_of(folder, folder.path / BEST, seeds)
    result = evaluated(score, seeds, folder.spec.metric)
    if result is None:
        raise _no_score(folder, score)
    return result


def what_is_missing(result: Evaluation) -> str:
    """Of an evaluation that lacks episodes, how many and why."""
    seeds = [seed for body in result.unscored for seed in body["seeds"]]
    return (
        f"{len(seeds)} of {result.episodes + len(seeds)} episodes have no return: the environment "
        f"did not let them come to an end. Seed {seeds[0]}: {result.unscored[0]['error']}"
    )


def score_of(folder: RunFolder, checkpoint: Path, seeds: Sequence[int]) -> Score:
    """Plays with the policy of one checkpoint, see :func:`rltune.policies.scoring.scores`.

    Raises:
        BadInput, BadCheckpoint: it cannot be read.
    """
    (score,) = scores(folder, [checkpoint], seeds)
    if score.broken is not None:
        raise score.broken
    return score


def _no_score(folder: RunFolder, score: Score) -> EnvironmentFailed:
    first, count = score.unscored()[0], len(score.lost)
    return EnvironmentFailed(
        f"{folder.shown} has no score: {count} of {count + len(score.returns)} episodes of "
        f"{folder.spec.env_id} have no return. Seed {first['seeds'][0]}: {first['error']}"
    )


def best_policy(folder: RunFolder) -> Policy:
    """A run's best policy.

    Raises:
        BadInput: the run has none, or its checkpoint cannot be read.
    """
    check_has_policy(folder)
    return load_policy(folder.spec, folder, folder.path / BEST)


def check_has_policy(folder: RunFolder) -> None:
    """Raises BadInput for a run that has left none, or whose environment is not here."""
    if folder.best_record is None:
        raise BadInput(f"{folder.shown} has no policy yet: no trial has left a checkpoint")
    check_there(folder.spec, folder.shown)


def compare(
    folders: Sequence[RunFolder], episodes: int | None = None, seed: int | None = None
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
        BadInput: the runs are of different environments or metrics, or one of them has no policy.
        EnvironmentFailed: an episode of one of them could not be scored.
    """
    goal = folders[0].spec.goal
    if others := {folder.spec.goal for folder in folders} - {goal}:
        raise BadInput(f"{goal} and {others.pop()} cannot be compared")
    for folder in folders:
        check_there(folder.spec, folder.shown)
    specs = [folder.spec for folder in folders]
    names = {(spec.env_id, canonical(spec.env_options.env_args)) for spec in specs}
    if len(names) > 1:
        shown = ", ".join(sorted(f"{env_id} {args}" for env_id, args in names))
        raise BadInput(f"returns of different environments cannot be compared: {shown}")
    spec = folders[0].spec
    count = episodes or spec.evaluation.episodes
    seeds = evaluation_seeds(spec.seed if seed is None else seed, count)
    runs: list[dict[str, Any]] = []
    for folder in folders:
        of_seeds = (folder.summary or {}).get("seeds")
        if of_seeds:
            paths = [folder.inside(body["checkpoint"]) for body in of_seeds]
            values = [float(np.mean(returns)) for returns in _all_returns(folder, paths, seeds)]
        else:
            check_has_policy(folder)
            (values,) = _all_returns(folder, [folder.path / BEST], seeds)
        first = runs[0]["scores"] if runs else None
        runs.append(
            {
                "run": folder.relative,
                "unit": "seeds" if of_seeds else "episodes",
                "scores": values,
                "mean": float(np.mean(values)),
                "iqm": float(iqm(values)),
                "ci95": list(interval(values, of=iqm)),
                "improvement": first and better(goal.scores(values), goal.scores(first)),
            }
        )
    return {"episodes": count, "metric": goal.name, "mode": goal.mode, "runs": runs}


def _all_returns(
    folder: RunFolder, checkpoints: Sequence[Path], seeds: Sequence[int]
) -> list[list[float]]:
    """Of each policy, every return: runs are compared on the same episodes, or not at all.

    Those of another metric that lack it are left out.
    """
    found = scores(folder, checkpoints, seeds)
    for score in found:
        if score.broken is not None:
            raise score.broken
        if score.lost:
            raise _no_score(folder, score)
    every = [[score.returns[seed] for seed in seeds] for score in found]
    return [[value for value in values if not math.isnan(value)] for values in every]


@dataclass(frozen=True)
class Candidate:
    """A checkpoint and how its policy played on selection seeds."""

    checkpoint: Path
    env_steps: int
    played: Score

    @property
    def score(self) -> float | None:
        """Its mean return, or metric; None where it has none."""
        return self.played.mean


def score_checkpoints(
    folder: RunFolder, checkpoints: Sequence[Path], seeds: Sequence[int]
) -> list[Candidate]:
    """Lets the policies of checkpoints play on the same seeds, as they are and without exploring.

    The record of a trial is behind its weights: the episodes in it were played while they were
    still being changed.
    """
    return [
        Candidate(score.checkpoint, folder.record(score.checkpoint)["env_steps"], score)
        for score in scores(folder, checkpoints, seeds)
    ]


def ranked(folder: RunFolder, found: Sequence[Candidate]) -> list[Candidate]:
    """Those with a score, the best first.

    Means over other episodes are not the same: whose episodes all came to an end goes before whose
    did not. The better record decides between equals.
    """

    goal = folder.spec.goal

    def place(one: Candidate) -> tuple[Any, ...]:
        score = goal.score(one.score or 0.0)
        return (len(one.played.returns), score, rank(folder.record(one.checkpoint), goal))

    return sorted((one for one in found if one.score is not None), key=place, reverse=True)


def unscored(folder: RunFolder, phase: str, score: Score) -> list[dict[str, Any]]:
    """What summary.json says of the episodes without a return of one policy.

    Args:
        phase: "selection" or "evaluation".
    """
    trial = score.checkpoint.parts[-3]
    place = str(score.checkpoint.relative_to(folder.path))
    return [
        {"phase": phase, "trial": trial, "checkpoint": place, **body} for body in score.unscored()
    ]


@dataclass(frozen=True)
class Chosen:
    """The best of some candidates.

    Attributes:
        candidate: None where none has a score.
        evaluation: on seeds that its choice did not see; None where they gave no score.
        unscored: what could not be scored on the way, as summary.json holds it.
    """

    candidate: Candidate | None
    evaluation: Evaluation | None
    unscored: list[dict[str, Any]]


def choose(folder: RunFolder, found: Sequence[Candidate], seeds: Sequence[int]) -> Chosen:
    """The best candidate, evaluated. One whose returns are not finite is passed over."""
    lost = [body for one in found for body in unscored(folder, "selection", one.played)]
    for candidate in ranked(folder, found):
        score = score_of(folder, candidate.checkpoint, seeds)
        lost += unscored(folder, "evaluation", score)
        if not score.final:
            return Chosen(candidate, evaluated(score, seeds, folder.spec.metric), lost)
    return Chosen(None, None, lost)
