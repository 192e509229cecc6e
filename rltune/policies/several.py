"""Scores policies in all environments of a run: an episode is one in each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from rltune.environments import Environment
from rltune.errors import BadInput, unknown
from rltune.policies import scoring
from rltune.policies.episodes import Lost
from rltune.policies.scoring import Played, Score
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import EnvironmentScore
from rltune.statistics import interval, iqm


def scores(
    folder: RunFolder,
    asked: Sequence[tuple[Path, Sequence[int]]],
    played: Played = lambda done, of: None,
) -> list[Score]:
    """What :func:`rltune.policies.scoring.scores` does, in every environment of a run.

    Where there are several, each checkpoint holds a policy for each of them. The value of a seed
    is the mean over the environments of the normalised returns of its episodes there, and so the
    mean over the seeds is that of the environments' normalised scores.
    """
    environments = folder.spec.environments
    if not environments:
        return scoring.scores(folder, asked, played)
    count = sum(len(seeds) for _, seeds in asked)
    parts = {}
    for place, environment in enumerate(environments):
        done = partial(_counted, played, place * count, len(environments) * count)
        inside = [(checkpoint / environment.name, seeds) for checkpoint, seeds in asked]
        parts[environment.name] = scoring.scores(folder.alone(environment), inside, done)
    return [
        _together(checkpoint, seeds, environments, {n: each[i] for n, each in parts.items()})
        for i, (checkpoint, seeds) in enumerate(asked)
    ]


def in_one(folder: RunFolder, env: str | None) -> RunFolder:
    """A run read as that of one of its environments; as it is where none is named.

    Raises:
        BadInput: it has no such environment.
    """
    if env is None:
        return folder
    known = {one.name: one for one in folder.spec.environments}
    if not known:
        raise BadInput(f"env {env}: {folder.shown} has one environment: leave it out")
    if env not in known:
        raise unknown("environment", env, known, f" {folder.shown} has no other.")
    return folder.alone(known[env])


def _counted(played: Played, before: int, of: int, done: int, _of_one: int) -> None:
    played(before + done, of)


def _together(
    checkpoint: Path,
    seeds: Sequence[int],
    environments: Sequence[Environment],
    parts: Mapping[str, Score],
) -> Score:
    """The score of the policies of one checkpoint."""
    broken = next((part.broken for part in parts.values() if part.broken), None)
    found = Score(checkpoint, broken=broken)
    for seed in seeds:
        lost = {name: part.lost[seed] for name, part in parts.items() if seed in part.lost}
        if lost:
            name, first = next(iter(lost.items()))
            final = any(one.final for one in lost.values())
            found.lost[seed] = Lost(f"{name}: {first.error}", final)
        else:
            values = [one.normalized(parts[one.name].returns[seed]) for one in environments]
            found.returns[seed] = float(np.mean(values))
    found.environments = {
        one.name: _summarised(one, list(parts[one.name].returns.values())) for one in environments
    }
    return found


def _summarised(environment: Environment, returns: Sequence[float]) -> EnvironmentScore:
    """The statistics of the returns in one environment; NaN of none."""
    values = np.asarray(returns, dtype=float)
    mean = float(values.mean()) if len(values) else math.nan
    low, high = interval(values)
    return EnvironmentScore(
        mean=mean,
        iqm=float(iqm(values)) if len(values) else math.nan,
        ci95=(low, high),
        normalized=environment.normalized(mean),
        normalized_ci95=(environment.normalized(low), environment.normalized(high)),
        episodes=len(values),
    )
