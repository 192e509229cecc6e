"""Scores policies on fresh seeds, over whole episodes, with confidence intervals."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rltune.algorithms.policy import Policy, load_policy
from rltune.catalog import sources
from rltune.catalog.environments import check_there
from rltune.envs.arguments import canonical
from rltune.errors import BadInput, EnvironmentFailed, warn_once
from rltune.policies.scoring import Played, Score
from rltune.policies.several import scores
from rltune.runs.folder import RunFolder, rank
from rltune.runs.summary_record import Evaluation, Unscored
from rltune.spec import FIRST_EVALUATION_SEED, FIRST_SELECTION_SEED, FUNCTION, RunSpec
from rltune.statistics import better, interval, iqm


def summarise(returns: Sequence[float], seeds: Sequence[int]) -> Evaluation:
    """Computes the statistics of returns; both arguments have shape ``(episodes,)``."""
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
    """Computes the statistics of a policy's score; None if it has none."""
    if score.mean is None:
        return None
    played = [seed for seed in seeds if not math.isnan(score.returns.get(seed, math.nan))]
    result = summarise([score.returns[seed] for seed in played], played)
    unscored = [{**asdict(lost), "seeds": seeds} for lost, seeds in score.unscored().items()]
    return replace(result, unscored=unscored, metric=metric, environments=dict(score.environments))


def evaluation_seeds(seed: int, count: int, trial: int | None = None) -> list[int]:
    """Draws ``count`` distinct seeds that neither training nor selection can draw.

    Args:
        seed: seed of the run.
        trial: number of the trial, if every trial of the run is scored separately.
    """
    return _seeds([seed, 2], trial, FIRST_EVALUATION_SEED, count)


def selection_seeds(seed: int, count: int, trial: int | None = None) -> list[int]:
    """Draws ``count`` distinct seeds for the selection among checkpoints."""
    return _seeds([seed, 3], trial, FIRST_SELECTION_SEED, count)


def _seeds(entropy: list[int], trial: int | None, first: int, count: int) -> list[int]:
    rng = np.random.default_rng(entropy if trial is None else [*entropy, trial])
    drawn = rng.choice(FIRST_EVALUATION_SEED - FIRST_SELECTION_SEED, count, replace=False)
    return [first + int(seed) for seed in drawn]


def evaluate(folder: RunFolder, episodes: int | None = None, seed: int | None = None) -> Evaluation:
    """Evaluates a run's best policy, without Ray.

    Args:
        episodes: number of whole episodes, one per seed; None for as many as the run's score.
        seed: seed of the evaluation; None for the run's seed.

    Raises:
        BadInput: the run has no policy, or its checkpoint cannot be read.
        EnvironmentFailed: there is no score: no episode finished, or a return is not finite.
    """
    check_has_policy(folder)
    spec = folder.spec
    if told := sources.warning(spec):
        warn_once(told)
    count = episodes or spec.evaluation.episodes
    seeds = evaluation_seeds(spec.seed if seed is None else seed, count)
    score = score_of(folder, folder.best_policy, seeds)
    result = evaluated(score, seeds, folder.spec.metric)
    if result is None:
        raise _no_score(folder, score)
    return result


def what_is_missing(result: Evaluation) -> str:
    """Words how many episodes an evaluation lacks, and why."""
    seeds = [seed for body in result.unscored for seed in body["seeds"]]
    return (
        f"{len(seeds)} of {result.episodes + len(seeds)} episodes have no return: the environment "
        f"did not let them come to an end. Seed {seeds[0]}: {result.unscored[0]['error']}"
    )


def score_of(
    folder: RunFolder,
    checkpoint: Path,
    seeds: Sequence[int],
    played: Played = lambda done, of: None,
) -> Score:
    """Scores the policy of one checkpoint, see :func:`rltune.policies.scoring.scores`.

    Raises:
        BadInput, BadCheckpoint: it cannot be read.
    """
    (score,) = scores(folder, [(checkpoint, seeds)], played)
    if score.broken is not None:
        raise score.broken
    return score


def _no_score(folder: RunFolder, score: Score) -> EnvironmentFailed:
    seed, first = next(iter(score.lost.items()))
    count = len(score.lost)
    return EnvironmentFailed(
        f"{folder.shown} has no score: {count} of {count + len(score.returns)} episodes of "
        f"{folder.spec.env_id} have no return. Seed {seed}: {first.error}"
    )


def best_policy(folder: RunFolder) -> Policy:
    """Loads a run's best policy.

    Raises:
        BadInput: the run has none, or its checkpoint cannot be read.
    """
    check_has_policy(folder)
    if folder.spec.environments:
        names = [one.name for one in folder.spec.environments]
        raise BadInput(
            f"{folder.shown} has a policy for each of its environments, {', '.join(names)}: name "
            f"one of them, `env={names[0]}`"
        )
    return load_policy(folder.spec, folder, folder.best_policy)


def check_has_policy(folder: RunFolder) -> None:
    """Raises BadInput for a run without a policy, or whose environment cannot be found."""
    if not folder.spec.plays:
        what = "function" if folder.spec.task == FUNCTION else "RLlib algorithm"
        raise BadInput(
            f"{folder.shown} tuned the {what} {folder.spec.env_id}: rltune has no policy to play"
        )
    if folder.best_record is None:
        raise BadInput(f"{folder.shown} has no policy yet: no trial has left a checkpoint")
    check_there(folder.spec, folder.shown)


def compare(
    folders: Sequence[RunFolder], episodes: int | None = None, seed: int | None = None
) -> dict[str, Any]:
    """Compares runs, with every policy on the same fresh seeds.

    A run of several seeds has one score per seed, the mean return of that seed's policy. Any other
    run has one policy, and its scores are the returns of its episodes: they vary between episodes,
    not between trainings.

    Returns:
        ``episodes`` and ``runs``, each with ``run, unit, scores, mean, iqm, ci95`` (of the IQM)
        and ``improvement``: ``probability`` that a score of it beats one of the first run's, and
        its ``ci95``; None for the first.

    Raises:
        BadInput: the runs are of different environments or metrics, or one of them has no policy,
            or policies of several schedules.
        EnvironmentFailed: an episode of one of them could not be scored.
    """
    for folder in folders:
        if folder.summary is not None and folder.summary.arms is not None:
            raise BadInput(
                f"{folder.shown} is a replay, whose arms are compared in its own report: evaluate "
                "it alone, or compare others"
            )
    goal = folders[0].spec.goal
    if others := {folder.spec.goal for folder in folders} - {goal}:
        raise BadInput(f"{goal} and {others.pop()} cannot be compared")
    for folder in folders:
        check_there(folder.spec, folder.shown)
        if told := sources.warning(folder.spec):
            warn_once(f"{folder.shown}: {told}")
    specs = [folder.spec for folder in folders]
    names = {(spec.env_id, _arguments(spec)) for spec in specs}
    if len(names) > 1:
        shown = ", ".join(sorted(f"{env_id} {args}" for env_id, args in names))
        raise BadInput(f"returns of different environments cannot be compared: {shown}")
    spec = folders[0].spec
    count = episodes or spec.evaluation.episodes
    seeds = evaluation_seeds(spec.seed if seed is None else seed, count)
    runs: list[dict[str, Any]] = []
    for folder in folders:
        of_seeds = None if (summary := folder.summary) is None else summary.seeds
        if of_seeds:
            paths = [folder.inside(seed_outcome.checkpoint) for seed_outcome in of_seeds]
            values = [float(np.mean(returns)) for returns in _all_returns(folder, paths, seeds)]
        else:
            check_has_policy(folder)
            (values,) = _all_returns(folder, [folder.best_policy], seeds)
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


def _arguments(spec: RunSpec) -> str:
    """What the scores of a run depend on beside the ids of its environments."""
    if not spec.environments:
        return canonical(spec.env_options.env_args)
    scales = [
        {one.name: [dict(one.env_args), one.random.mean, one.threshold]}
        for one in spec.environments
    ]
    return canonical({"environments": scales})


def _all_returns(
    folder: RunFolder, checkpoints: Sequence[Path], seeds: Sequence[int]
) -> list[list[float]]:
    """Returns every return of each policy: runs are compared on the same episodes, or not at all.

    If the run tunes another metric, omits episodes without it.
    """
    results = scores(folder, [(checkpoint, seeds) for checkpoint in checkpoints])
    for score in results:
        if score.broken is not None:
            raise score.broken
        if score.lost:
            raise _no_score(folder, score)
    every = [[score.returns[seed] for seed in seeds] for score in results]
    return [[value for value in values if not math.isnan(value)] for values in every]


@dataclass(frozen=True)
class Candidate:
    """A checkpoint and the score of its policy on selection seeds."""

    checkpoint: Path
    env_steps: int
    played: Score

    @property
    def score(self) -> float | None:
        """Mean return or metric; None if there is no score."""
        return self.played.mean


def score_checkpoints(
    folder: RunFolder,
    checkpoints: Sequence[Path],
    seeds: Sequence[int],
    played: Played = lambda done, of: None,
) -> list[Candidate]:
    """Scores the policies of checkpoints on the same seeds, without exploration."""
    return score_each(folder, [(checkpoints, seeds)], played)[0]


def score_each(
    folder: RunFolder,
    asked: Sequence[tuple[Sequence[Path], Sequence[int]]],
    played: Played = lambda done, of: None,
) -> list[list[Candidate]]:
    """Scores sets of checkpoints, each set on its own seeds, without exploration.

    The training record of a trial lags behind its weights: its episodes were played while the
    weights were still changing.
    """
    every = [(one, seeds) for checkpoints, seeds in asked for one in checkpoints]
    played_all = iter(scores(folder, every, played))
    return [
        [Candidate(one, folder.record(one).env_steps, next(played_all)) for one in checkpoints]
        for checkpoints, _ in asked
    ]


def ranked(folder: RunFolder, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Sorts the candidates that have a score, the best first.

    Means over different episodes are not comparable: candidates with more finished episodes come
    first. The better training record decides between equals.
    """

    goal = folder.spec.goal

    def place(one: Candidate) -> tuple[Any, ...]:
        score = goal.score(one.score or 0.0)
        return (len(one.played.returns), score, rank(folder.record(one.checkpoint), goal))

    return sorted((one for one in candidates if one.score is not None), key=place, reverse=True)


def unscored(folder: RunFolder, phase: str, score: Score) -> list[Unscored]:
    """Returns the entries of summary.json on one policy's episodes without a return.

    Args:
        phase: "selection" or "evaluation".
    """
    trial = score.checkpoint.parts[-3]
    place = str(score.checkpoint.relative_to(folder.path))
    return [
        Unscored(
            phase=phase,
            trial=trial,
            checkpoint=place,
            error=lost.error,
            final=lost.final,
            seeds=seeds,
        )
        for lost, seeds in score.unscored().items()
    ]


@dataclass(frozen=True)
class Chosen:
    """The best of several candidates.

    Attributes:
        candidate: the best candidate; None if none has a score.
        evaluation: its evaluation on seeds that were not used to choose it; None without a score.
        unscored: episodes that could not be scored, as in summary.json.
    """

    candidate: Candidate | None
    evaluation: Evaluation | None
    unscored: list[Unscored]


def choose(
    folder: RunFolder,
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    played: Played = lambda done, of: None,
) -> Chosen:
    """Chooses and evaluates the best candidate; skips one whose returns are not finite."""
    return choose_each(folder, [(candidates, seeds)], played)[0]


def choose_each(
    folder: RunFolder,
    asked: Sequence[tuple[Sequence[Candidate], Sequence[int]]],
    played: Played = lambda done, of: None,
) -> list[Chosen]:
    """What :func:`choose` does, for sets of candidates, each with its own seeds."""
    lost = [
        [body for one in candidates for body in unscored(folder, "selection", one.played)]
        for candidates, _ in asked
    ]
    waiting = {n: deque(ranked(folder, candidates)) for n, (candidates, _) in enumerate(asked)}
    chosen: dict[int, Chosen] = {}
    while left := [n for n, ranks in waiting.items() if ranks and n not in chosen]:
        tried = [waiting[n].popleft() for n in left]
        plays = [(one.checkpoint, asked[n][1]) for n, one in zip(left, tried, strict=True)]
        for n, one, score in zip(left, tried, scores(folder, plays, played), strict=True):
            if score.broken is not None:
                raise score.broken
            lost[n] += unscored(folder, "evaluation", score)
            if not score.final:
                result = evaluated(score, asked[n][1], folder.spec.metric)
                chosen[n] = Chosen(one, result, lost[n])
    return [chosen.get(n, Chosen(None, None, lost[n])) for n in range(len(asked))]
