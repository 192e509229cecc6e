"""Several seeds of the same settings, without a search: each scored by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rltune import catalog
from rltune.callbacks.base import Callbacks
from rltune.catalog import thresholds
from rltune.errors import NothingUsable
from rltune.metric import Metric
from rltune.policies import certificates, evaluation
from rltune.policies.certificates import Certificate
from rltune.policies.evaluation import Candidate, Chosen
from rltune.policies.outcome import check_any_score, with_best
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import SeedOutcome, SeedStatistics, Summary
from rltune.searchers.seeds import Start
from rltune.spec import FIRST_FRESH_SEED, RunSpec
from rltune.statistics import FEWEST_OF_TENTH, interval, iqm, share_interval, worst_tenth
from rltune.sweeps.jobs.base import Job
from rltune.tasks.base import Evaluated, not_watched


class MultiSeed(Job):
    """Trains the preset's settings on several seeds, each scored by itself."""

    first_wins = False
    keeps_every_policy = True

    def next_start(self, index: int) -> Start | None:
        """The trial that trains on the next seed."""
        if self.is_over(index):
            return None
        return Start(index, self.starting_point(index))

    def starting_point(self, index: int) -> dict[str, Any]:
        """The preset's settings, on a seed that no sweep draws."""
        return {**self.spec.settings, "seed": self.seed(index)}

    def number(self, index: int) -> int:
        """Which of the run's seeds trial number ``index`` trains on."""
        return index

    def seed(self, index: int) -> int:
        """The training seed of trial number ``index``."""
        return FIRST_FRESH_SEED + self.spec.trial_seed(self.number(index))

    def conclude(self, folder: RunFolder, summary: Summary, callbacks: Callbacks) -> Summary:
        """Every seed's score, and what they come to."""
        if not self.task.evaluates:
            return self._conclude_reports(folder, summary)
        spec = self.spec
        trials = [trial.id for trial in summary.trials]
        numbers = [self.number(index) for index in range(len(trials))]
        every = choose(folder, dict(zip(trials, numbers, strict=True)), callbacks.evaluated)
        found = [
            score(folder, self.seed(index), trial, chosen)
            for index, (trial, chosen) in enumerate(zip(trials, every, strict=True))
            if chosen.evaluation is not None
        ]
        check_any_score(*every)
        scored = [seed.trial for seed in found]
        summary = replace(
            summary,
            seeds=found,
            unscored=[episodes for chosen in every for episodes in chosen.unscored],
            unscored_seeds=[trial for trial in trials if trial not in scored],
        )
        if not found:
            return summary
        best = max(self.winners(found), key=lambda seed: spec.goal.score(seed.selection_score))
        folder.keep_best(folder.inside(best.checkpoint), best.trial)
        selected, result = best.selection_score, best.evaluation
        summary = with_best(summary, spec, folder, selected, result, trained=True)
        return self.compare(summary, found)

    def _conclude_reports(self, folder: RunFolder, summary: Summary) -> Summary:
        """The same where nothing can be played: the last report of a seed is its score."""
        trials = [trial.id for trial in summary.trials]
        ended = enumerate(trials)
        found = [seed for i, trial in ended if (seed := last_report(folder, self.seed(i), trial))]
        scored = [seed.trial for seed in found]
        unscored = [trial for trial in trials if trial not in scored]
        summary = self.task.conclude(folder, summary, [seed.trial for seed in self.winners(found)])
        return self.compare(replace(summary, seeds=found, unscored_seeds=unscored), found)

    def winners(self, scored: Sequence[SeedOutcome]) -> Sequence[SeedOutcome]:
        """Those of which the best policy may be: all train the same settings."""
        return scored

    def compare(self, summary: Summary, scored: Sequence[SeedOutcome]) -> Summary:
        """The summary with what the seeds come to together.

        Args:
            scored: of each trial that has a score, what :func:`score` says.
        """
        together = across(self.spec, scored)
        # Of fewer seeds or episodes than it states it would be no evidence.
        asked = None if summary.can_be_finished else self.asked.certificate
        certificate = certify(self.spec, asked, together)
        return replace(summary, across_seeds=together, certificate=certificate)


@dataclass(frozen=True)
class ChosenOfSeed(Chosen):
    """What :func:`choose` has found of one seed.

    Attributes:
        curve: its checkpoints in the order they were made.
    """

    curve: list[Candidate]


def choose(
    folder: RunFolder, numbers: Mapping[str, int], evaluated: Evaluated = not_watched
) -> list[ChosenOfSeed]:
    """The best policy of each trial, evaluated, the policies of all trials side by side.

    Each checkpoint of a trial plays on the selection seeds of its trial; the best of them is scored
    on other seeds. A trial that diverged is scored as it was last saved: leaving it out would
    flatter.

    Args:
        numbers: of the run's seeds, by the trial that trained on it.

    Raises:
        NothingUsable: a trial left no policy.
    """
    spec, scoring = folder.spec, folder.spec.evaluation
    kept = {trial: folder.checkpoints_of(trial) for trial in numbers}
    if without := [trial for trial, checkpoints in kept.items() if not checkpoints]:
        raise NothingUsable(f"{without[0]} left no policy behind")
    curves = evaluation.score_each(
        folder,
        [
            (kept[trial], evaluation.selection_seeds(spec.seed, scoring.selection_episodes, number))
            for trial, number in numbers.items()
        ],
        partial(evaluated, "choosing"),
    )
    seeds = [
        evaluation.evaluation_seeds(spec.seed, scoring.episodes, number)
        for number in numbers.values()
    ]
    chosen = evaluation.choose_each(
        folder, list(zip(curves, seeds, strict=True)), partial(evaluated, "scoring")
    )
    return [
        ChosenOfSeed(one.candidate, one.evaluation, one.unscored, curve)
        for one, curve in zip(chosen, curves, strict=True)
    ]


def score(folder: RunFolder, seed: int, trial: str, chosen: ChosenOfSeed) -> SeedOutcome:
    """What a seed came to whose best policy has a score."""
    spec = folder.spec
    best, result = chosen.candidate, chosen.evaluation
    assert best is not None
    assert best.score is not None
    assert result is not None
    curve = [(one.env_steps, one.score) for one in chosen.curve if one.score is not None]
    seconds = {row.env_steps: row.train_seconds for row in folder.reports(trial)}
    solved = _first_over(curve, threshold(spec))
    return SeedOutcome(
        trial=trial,
        seed=seed,
        score=result.mean,
        selection_score=best.score,
        checkpoint=str(best.checkpoint.relative_to(folder.path)),
        env_steps=max(seconds, default=0),
        train_seconds=max(seconds.values(), default=0.0),
        env_steps_to_threshold=solved,
        seconds_to_threshold=None if solved is None else seconds.get(solved),
        curve=curve,
        evaluation=result,
    )


def last_report(folder: RunFolder, seed: int, trial: str) -> SeedOutcome | None:
    """What a seed came to by its reports; None for one without the metric, or that diverged."""
    reports, goal = folder.reports(trial), folder.spec.goal
    curve = [
        (row.env_steps, value) for row in reports if (value := goal.of(row.measured)) is not None
    ]
    if not curve or folder.diverged(trial) is not None:
        return None
    kept = folder.checkpoints_of(trial)
    return SeedOutcome(
        trial=trial,
        seed=seed,
        score=curve[-1][1],
        selection_score=curve[-1][1],
        checkpoint=str(kept[-1].relative_to(folder.path)) if kept else "",
        env_steps=reports[-1].env_steps,
        train_seconds=reports[-1].train_seconds,
        env_steps_to_threshold=None,
        curve=curve,
    )


def threshold(spec: RunSpec) -> float | None:
    """See :func:`rltune.catalog.thresholds.threshold`; None for what has no environment."""
    if not spec.plays:
        return None
    info = catalog.environment(spec.env_id, spec.env_options.imports)
    return thresholds.threshold(spec, info)


def _first_over(curve: list[tuple[int, float]], wanted: float | None) -> int | None:
    """The environment steps at which a curve first gets there."""
    if wanted is None:
        return None
    return next((env_steps for env_steps, score in curve if score >= wanted), None)


def across(spec: RunSpec, found: Sequence[SeedOutcome]) -> SeedStatistics:
    """Statistics over the seeds, as a certificate has them."""
    scores = [seed.score for seed in found]
    wanted = threshold(spec)
    over = None if wanted is None else float(np.mean([score >= wanted for score in scores]))
    steps = _median([seed.env_steps_to_threshold for seed in found])
    gap = float(np.mean([seed.selection_score - seed.score for seed in found]))
    return SeedStatistics(
        seeds=len(found),
        episodes=found[0].evaluation.episodes if found[0].evaluation else 0,
        scores=scores,
        mean=float(np.mean(scores)),
        iqm=float(iqm(scores)),
        ci95=interval(scores, of=iqm),
        threshold=wanted,
        share_over_threshold=over,
        env_steps_to_threshold=None if steps is None else int(steps),
        seconds_to_threshold=_median([seed.seconds_to_threshold for seed in found]),
        env_steps=int(np.median([seed.env_steps for seed in found])),
        train_seconds=float(np.median([seed.train_seconds for seed in found])),
        optimism_gap=spec.goal.score(gap),
        **tail(spec.goal, scores, wanted),
    )


def tail(goal: Metric, scores: Sequence[float], wanted: float | None) -> dict[str, Any]:
    """How bad the bad seeds are, see :class:`SeedStatistics`; nothing of too few seeds.

    Args:
        wanted: the environment's threshold.
    """
    if len(scores) < FEWEST_OF_TENTH:
        return {}
    ends = interval(goal.scores(scores), of=worst_tenth)
    found: dict[str, Any] = {
        "worst_tenth": goal.score(float(worst_tenth(goal.scores(scores)))),
        "worst_tenth_ci95": tuple(sorted(goal.scores(ends))),
    }
    if wanted is not None:
        failed = sum(score < wanted for score in scores)
        found["failure_rate"] = failed / len(scores)
        found["failure_rate_ci95"] = share_interval(failed, len(scores))
    return found


def _median(values: list[float | None]) -> float | None:
    """Computes a median; seeds that never reach the threshold count as infinite."""
    median = float(np.median([math.inf if value is None else value for value in values]))
    return median if math.isfinite(median) else None


def certify(
    spec: RunSpec, asked: Mapping[str, Any] | None, statistics: SeedStatistics
) -> str | None:
    """Writes the certificate that a run was asked for. Returns its file; None where none was.

    Args:
        asked: see :attr:`rltune.spec.JobSpec.certificate`.
    """
    if asked is None:
        return None
    tables = asked["preset"]
    certificate = Certificate(
        algo=spec.algo,
        env=spec.env,
        **statistics.to_dict(),
        date=certificates.today(),
        versions=dict(spec.versions),
        preset_hash=certificates.preset_hash(tables),
        preset=tables,
        seed=spec.seed,
        batch=spec.resources.batch,
    )
    certificate.write(Path(asked["file"]))
    return str(asked["file"])
