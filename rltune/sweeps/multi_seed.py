"""The end of a run that trains the same settings on several seeds: each scored by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from rltune import catalog
from rltune.policies import certificates, evaluation
from rltune.policies.certificates import Certificate
from rltune.policies.evaluation import Candidate, Chosen
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec
from rltune.statistics import better, interval, iqm


@dataclass(frozen=True)
class ChosenOfSeed(Chosen):
    """What :func:`choose` has found of one seed.

    Attributes:
        curve: its checkpoints in the order they were made.
    """

    curve: list[Candidate]


def choose(folder: RunFolder, index: int, trial: str) -> ChosenOfSeed | None:
    """The best policy of a seed, evaluated; None where it has left none.

    Each of its checkpoints plays on selection seeds; the best of them is scored on seeds of its
    own. A trial that diverged is scored as it was last saved: leaving it out would flatter.
    """
    spec = folder.spec
    number = spec.seed_number(index)
    chosen_on = evaluation.selection_seeds(spec.seed, spec.evaluation.selection_episodes, number)
    curve = evaluation.score_checkpoints(folder, folder.checkpoints_of(trial), chosen_on)
    if not curve:
        return None
    seeds = evaluation.evaluation_seeds(spec.seed, spec.evaluation.episodes, number)
    chosen = evaluation.choose(folder, curve, seeds)
    return ChosenOfSeed(chosen.candidate, chosen.evaluation, chosen.unscored, curve)


def score(folder: RunFolder, index: int, trial: str, chosen: ChosenOfSeed) -> dict[str, Any]:
    """What a seed came to whose best policy has a score."""
    spec = folder.spec
    best, result = chosen.candidate, chosen.evaluation
    assert best is not None
    assert result is not None
    curve = [(one.env_steps, one.score) for one in chosen.curve if one.score is not None]
    seconds = {row.env_steps: row.train_seconds for row in folder.reports(trial)}
    solved = _first_over(curve, threshold(spec))
    return {
        "trial": trial,
        "seed": spec.trial_seed(index),
        "score": result.mean,
        "selection_score": best.score,
        "checkpoint": str(best.checkpoint.relative_to(folder.path)),
        "env_steps": max(seconds, default=0),
        "train_seconds": max(seconds.values(), default=0.0),
        "env_steps_to_threshold": solved,
        "seconds_to_threshold": None if solved is None else seconds.get(solved),
        "curve": [list(point) for point in curve],
        "evaluation": result.to_dict(),
    }


def threshold(spec: RunSpec) -> float | None:
    """Mean return from which a policy counts as good enough; None for another metric."""
    if not spec.goal.is_return:
        return None
    return catalog.environment(spec.env_id, spec.env_options.imports).threshold


def _first_over(curve: list[tuple[int, float]], wanted: float | None) -> int | None:
    """The environment steps at which a curve first gets there."""
    if wanted is None:
        return None
    return next((env_steps for env_steps, score in curve if score >= wanted), None)


def across(spec: RunSpec, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Statistics over the seeds, as a certificate has them."""
    scores = [seed["score"] for seed in found]
    wanted = threshold(spec)
    over = None if wanted is None else float(np.mean([score >= wanted for score in scores]))
    steps = _median([seed["env_steps_to_threshold"] for seed in found])
    return {
        "seeds": len(found),
        "episodes": found[0]["evaluation"]["episodes"],
        "scores": scores,
        "mean": float(np.mean(scores)),
        "iqm": float(iqm(scores)),
        "ci95": list(interval(scores, of=iqm)),
        "threshold": wanted,
        "share_over_threshold": over,
        "env_steps_to_threshold": None if steps is None else int(steps),
        "seconds_to_threshold": _median([seed["seconds_to_threshold"] for seed in found]),
        "env_steps": int(np.median([seed["env_steps"] for seed in found])),
        "train_seconds": float(np.median([seed["train_seconds"] for seed in found])),
        "optimism_gap": spec.goal.score(
            float(np.mean([s["selection_score"] - s["score"] for s in found]))
        ),
    }


def _median(values: list[float | None]) -> float | None:
    """Those who never got there took for ever."""
    median = float(np.median([math.inf if value is None else value for value in values]))
    return median if math.isfinite(median) else None


def compare_arms(spec: RunSpec, found: list[dict[str, Any]]) -> dict[str, Any]:
    """What the arms of a replay came to, each with its schedule, and every pair beside each other.

    An arm of which no seed could be scored is left out.

    Args:
        found: of each trial that has a score, what :func:`score` says.
    """
    of_arm: dict[str, list[dict[str, Any]]] = {name: [] for name in spec.arms}
    for seed in found:
        of_arm[spec.arm(int(seed["trial"][1:]))].append(seed)
    together = {name: across(spec, seeds) for name, seeds in of_arm.items() if seeds}
    scores = {name: spec.goal.scores(arm["scores"]) for name, arm in together.items()}
    return {
        "arms": {name: {"schedule": spec.arms[name], **arm} for name, arm in together.items()},
        "comparisons": [
            {"arm": a, "over": b, **better(scores[a], scores[b])}
            for a, b in combinations(together, 2)
        ],
    }


def certify(spec: RunSpec, statistics: dict[str, Any]) -> str | None:
    """Writes the certificate that a run was asked for. Returns its file; None where none was."""
    if spec.certificate is None:
        return None
    tables = spec.certificate["preset"]
    certificate = Certificate(
        algo=spec.algo,
        env=spec.env,
        **statistics,
        date=certificates.today(),
        versions=dict(spec.versions),
        preset_hash=certificates.preset_hash(tables),
        preset=tables,
        seed=spec.seed,
    )
    certificate.write(Path(spec.certificate["file"]))
    return str(spec.certificate["file"])
