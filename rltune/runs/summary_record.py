"""What came out of a run: summary.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from rltune.engine.episodes import REWARD
from rltune.runs.records import Failure
from rltune.schema import NullableFloat, Omit, Omitted, Record

#: What made the difference, by a replay.
Verdict = Literal["schedule", "selection", "luck"]
#: The ends of a 95 % interval: low and high.
Interval = tuple[NullableFloat, NullableFloat]


def _short(value: float) -> str:
    return f"{value:.5g}"


@dataclass(frozen=True, kw_only=True)
class EnvironmentScore(Record):
    """What the episodes in one of several environments came to.

    Attributes:
        mean, iqm, ci95: of the undiscounted returns, as of an :class:`Evaluation`.
        normalized: the mean on the scale from a random policy (0) to the threshold (1), see
            :class:`rltune.environments.Environment`; normalized_ci95: its interval.
        episodes: those that came to an end.
    """

    mean: NullableFloat
    iqm: NullableFloat
    ci95: Interval
    normalized: NullableFloat
    normalized_ci95: Interval
    episodes: int


@dataclass(frozen=True, repr=False)
class Evaluation(Record):
    """What whole episodes came to, one a seed: their returns, or the metric that the run tuned.

    Attributes:
        mean: of the undiscounted returns, or of the metric.
        iqm: interquartile mean (Agarwal et al. 2021, arXiv 2108.13264).
        ci95: 95 % percentile bootstrap interval of the mean, [low, high]; NaN of few episodes, see
            :data:`rltune.statistics.FEWEST_VALUES`.
        seeds: seed of each episode; none was used in training or selection.
        returns: of each episode, in the order of the seeds, or its metric; episodes without it
            are left out.
        unscored: episodes that the environment did not let come to an end, with their seeds: each
            a mapping with ``error``, ``final`` and ``seeds``.
        metric: what it is of, by name.
        environments: of a run in several of them, the score in each; an episode above is then one
            in every environment, and its return the mean of their normalised returns.
    """

    mean: NullableFloat
    iqm: NullableFloat
    ci95: Interval
    episodes: int
    seeds: list[int]
    returns: list[NullableFloat]
    unscored: Sequence[Mapping[str, Any]] = field(default_factory=list)
    metric: str = REWARD
    environments: Omitted[Mapping[str, EnvironmentScore]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line: the results, without each episode's."""
        low, high = self.ci95
        parts = [f"mean={_short(self.mean)}", f"iqm={_short(self.iqm)}"]
        parts += [f"ci95=[{_short(low)}, {_short(high)}]", f"episodes={self.episodes}"]
        parts += [f"metric={self.metric!r}"] if self.metric != REWARD else []
        parts += [f"unscored={len(self.unscored)}"] if self.unscored else []
        return f"Evaluation({', '.join(parts)})"


@dataclass(frozen=True, kw_only=True)
class Unscored(Record):
    """Episodes of one policy that have no return.

    Attributes:
        phase: "selection" or "evaluation".
        checkpoint: of the policy, from the run folder.
        error: what happened.
        final: whether another try would bring the same.
        seeds: of the episodes.
    """

    phase: str
    trial: str
    checkpoint: Omitted[str] = ""
    error: str
    final: bool
    seeds: list[int]


@dataclass(frozen=True, kw_only=True)
class BestPolicy(Record):
    """What best/ holds.

    Attributes:
        config: its settings: what was searched as it acted, the rest as asked.
        checkpoint: from the run folder.
        env_steps: on the trial's clock.
        score: the metric over the newest episodes of its training; None where there is none.
        selection_score: the metric over the episodes it was chosen by.
    """

    trial: str
    config: Mapping[str, Any]
    checkpoint: str
    env_steps: int
    score: float | None
    selection_score: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrialOutcome(Record):
    """How a trial ended.

    Attributes:
        status: Tune's word, or "DIVERGED".
        score: the metric in the last report that has it.
        config: the searched settings in the last report.
        error: of a trial that failed for good, or diverged.
        failures: every one, those that the trial was tried again after included.
        objectives: of a run with several, the last finite value of each by its name; None without.
    """

    id: str
    status: str
    env_steps: int = 0
    score: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    error: str | None
    failures: list[Failure] = field(default_factory=list)
    objectives: Omitted[Mapping[str, float | None]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FrontPoint(Record):
    """A trial that no other is better than in one objective and as good as in the others.

    Attributes:
        values: of each objective, as reported last, by its name.
        config: the searched settings.
    """

    trial: str
    values: Mapping[str, float]
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SettingOutcome(Record):
    """What settings came to that were trained on several seeds.

    Attributes:
        config: the searched settings.
        trials: of these settings, one a seed.
        scores: the metric in each one's last report; None for one that failed or has none.
        judged: what the scores come to; None where a trial failed, was stopped or has none.
    """

    config: Mapping[str, Any]
    trials: list[str]
    scores: list[float | None]
    judged: float | None


@dataclass(frozen=True, kw_only=True)
class LandscapeOutcome(Record):
    """What settings all over the space came to, by the median of their seeds' last reports.

    Attributes:
        table: the file with every report, in the run folder.
        settings: that were trained on all ``seeds``.
        best: the best median.
        near_best: share of the settings whose median is within 5 % of the best.
    """

    table: str
    settings: int
    seeds: int
    best: float
    near_best: float


@dataclass(frozen=True, kw_only=True)
class SeedOutcome(Record):
    """What a seed came to whose best policy has a score.

    Attributes:
        seed: that it was trained on.
        score: mean over the evaluation's episodes; selection_score: over those it was chosen by.
        env_steps: that it was trained for; train_seconds: the same in seconds.
        env_steps_to_threshold: to the first checkpoint whose policy is over the threshold on
            selection seeds; None where none is. seconds_to_threshold: the same in seconds.
        curve: of each checkpoint, in the order they were made, steps and selection score.
        evaluation: None where nothing is played: then the last report is the score, and the
            reports are the curve.
    """

    trial: str
    seed: int | None = None
    score: NullableFloat
    selection_score: NullableFloat = math.nan
    checkpoint: str
    env_steps: int
    train_seconds: float
    env_steps_to_threshold: int | None
    seconds_to_threshold: float | None = None
    curve: list[tuple[int, NullableFloat]] = field(default_factory=list)
    evaluation: Omitted[Evaluation | None] = None


@dataclass(frozen=True, kw_only=True)
class SeedStatistics(Record):
    """Statistics over seeds, as a certificate has them: see
    :class:`rltune.policies.certificates.Certificate`.

    Attributes:
        schedule: of an arm of a replay, the settings that its seeds were trained with.
        episodes: of each seed; 0 where its last report is its score.
        failure_rate: share of the seeds whose score is below the threshold; None of fewer than
            :data:`rltune.statistics.FEWEST_OF_TENTH` seeds, or without a threshold.
        failure_rate_ci95: its Wilson interval.
        worst_tenth: mean score of the worst tenth of the seeds; None of fewer seeds than that.
        worst_tenth_ci95: its bootstrap interval.
    """

    schedule: Omitted[Sequence[Sequence[Any]] | None] = None
    seeds: int
    episodes: int
    scores: list[NullableFloat]
    mean: NullableFloat = math.nan
    iqm: NullableFloat
    ci95: Interval
    threshold: float | None
    share_over_threshold: float | None
    env_steps_to_threshold: int | None = None
    seconds_to_threshold: float | None = None
    env_steps: int
    train_seconds: float = math.nan
    optimism_gap: NullableFloat
    failure_rate: Omitted[float | None] = None
    failure_rate_ci95: Omitted[Interval | None] = None
    worst_tenth: Omitted[float | None] = None
    worst_tenth_ci95: Omitted[Interval | None] = None


@dataclass(frozen=True, kw_only=True)
class Rival(Record):
    """A policy that the best one is held against, on episodes of its evaluation.

    Attributes:
        role: "runner-up": the best one of another trial; "defaults": the best one that was trained
            at the preset's defaults throughout.
        env_steps: on the trial's clock.
        evaluation: over the first of the seeds that the best policy was evaluated on.
    """

    role: Literal["runner-up", "defaults"]
    trial: str
    checkpoint: str
    env_steps: int
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class Spent(Record):
    """Where the time went, in seconds; each second of a slot counts one ``slots``-th.

    Attributes:
        slots: trials at a time.
        processes: that held them, where they trained as batches; else one a trial.
        start: until the first trial began to train.
        train: in which trials sampled and trained.
        wait: the rest until the last trial ended: starts of other trials, checkpoints, waiting for
            others, slots without a trial, and work that was lost.
        score: in which policies played for being the best, and for their score.
    """

    slots: int
    processes: Omitted[int | None] = None
    start: float
    train: float
    wait: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Comparison(Record):
    """How sure it is that an arm of a replay is better than another.

    Attributes:
        probability: that a seed of ``arm`` beats one of ``over``; ties count half.
        ci95: its 95 % bootstrap interval; NaN of few seeds.
    """

    arm: str
    over: str
    probability: float
    ci95: Interval


@dataclass(frozen=True, kw_only=True)
class Summary(Record):
    """What came out of a run: summary.json.

    Attributes:
        best: None where no policy has a score.
        evaluation: of the best policy, on seeds that no search saw.
        env_steps: of all trials, discarded work included.
        stop_reason: why the run ended.
        metric: what was tuned, by name; mode: "max" or "min".
        unscored: what could not be scored.
        optimism_gap: selection score minus evaluation, positive where the score on fresh seeds is
            the worse one: the bias of a choice by few episodes.
        rivals: of the best policy; None where nothing is played, or each seed has a score.
        spent: where the time went; ``wall_seconds`` are those until the last trial ended.
        objective: where several metrics were tuned together, all of them, ``-`` before those of
            which smaller is better; None for one.
        front: their Pareto front, the best by the first objective first; None for one.

    Attributes of a sweep whose settings are judged on several seeds, None for any other:
        settings: each of them, in the order in which they were suggested; of a landscape the best
            one first.

    Attributes of a landscape:
        landscape: what the space is like.

    Attributes of a run that trains settings on several seeds, None for any other:
        seeds: of each that has a score; unscored_seeds: ids of the other trials.
        across_seeds: their statistics; certificate: the file they were written to.

    Attributes of a replay:
        arms: statistics of each arm by name; comparisons: of every two of them.
        verdict: what made the difference; None where the seeds do not tell.
    """

    best: BestPolicy | None
    evaluation: Evaluation | None
    env_steps: int
    wall_seconds: float
    env_steps_per_second: float | None = None
    trials: list[TrialOutcome]
    stop_reason: str
    metric: str = REWARD
    mode: str = "max"
    unscored: list[Unscored] = field(default_factory=list)
    seeds: Omitted[list[SeedOutcome] | None] = None
    unscored_seeds: Omitted[list[str] | None] = None
    optimism_gap: Annotated[float | None, Omit(beside="best")] = None
    rivals: Omitted[list[Rival] | None] = None
    spent: Omitted[Spent | None] = None
    across_seeds: Omitted[SeedStatistics | None] = None
    certificate: Annotated[str | None, Omit(beside="across_seeds")] = None
    arms: Omitted[Mapping[str, SeedStatistics] | None] = None
    comparisons: Omitted[list[Comparison] | None] = None
    verdict: Omitted[Verdict | None] = None
    settings: Omitted[list[SettingOutcome] | None] = None
    landscape: Omitted[LandscapeOutcome | None] = None
    objective: Omitted[list[str] | None] = None
    front: Omitted[list[FrontPoint] | None] = None

    @property
    def can_be_finished(self) -> bool:
        """Whether another try may bring scores that the run lacks."""
        return any(not one.final for one in self.unscored)
