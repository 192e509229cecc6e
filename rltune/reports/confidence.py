"""How sure it is that a run's winner is better than what it is held against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rltune.metric import Metric
from rltune.reports.numbers import bounds, chance, number
from rltune.runs.names import number_of
from rltune.runs.summary_record import Evaluation, SettingOutcome, Summary
from rltune.spec import RunSpec
from rltune.statistics import FEWEST_VALUES, best_of, better, higher, interval

#: Controls that tell how far they scatter, at least.
FEWEST_CONTROLS = 3
#: What the winner is held against, in words.
RIVALS = {"runner-up": "the runner-up", "defaults": "the preset's defaults"}


@dataclass(frozen=True)
class Confidence:
    """The winner beside one rival.

    Attributes:
        over: "runner-up" or "defaults".
        trials: of the rival.
        env_steps: that the rival has trained; None of settings that have several trials.
        probability: that the winner is the better one; NaN where the samples are too few. Of
            policies: that its mean is higher, by a bootstrap of the differences on the same
            episodes. Of settings with several seeds: that a seed of it beats one of the rival.
        difference: of the means, positive where the winner is better; ci95: its interval.
        samples: episodes, or the fewest seeds of a side.
        unit: "episodes" or "seeds".
    """

    over: str
    trials: tuple[str, ...]
    env_steps: int | None
    probability: float
    difference: float
    ci95: tuple[float, float]
    samples: int
    unit: str

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        rival = f"{RIVALS[self.over]} ({', '.join(self.trials)}{self._age})"
        if math.isnan(self.probability):
            known = f"{self.samples} {'selection episodes' * (self.unit == 'episodes') or 'seeds'}"
            return f"against {rival}: {known} say too little, it takes {FEWEST_VALUES}"
        if self.difference == 0 and self.ci95 == (0.0, 0.0):
            return f"level with {rival}, {self._of}"
        interval = "" if math.isnan(self.ci95[0]) else f" {bounds(self.ci95)}"
        gap = f"by {number(self.difference)}{interval}"
        return f"better than {rival} with probability {chance(self.probability)}, {gap}, {self._of}"

    @property
    def _age(self) -> str:
        return "" if self.env_steps is None else f", {self.env_steps:,} steps"

    @property
    def _of(self) -> str:
        same = "on the same seeds" if self.unit == "episodes" else "or more each"
        return f"over {self.samples} {self.unit} {same}"


def confidence(spec: RunSpec, summary: Summary) -> list[Confidence]:
    """The winner against the runner-up and the defaults, as far as they were scored.

    It is about policies, each of one training run, unless settings had several seeds.
    """
    if summary.settings is not None:
        return _of_settings(spec, summary.settings)
    if summary.evaluation is None:
        return []
    return [
        _of_policies(spec.goal, rival.role, rival.trial, rival.env_steps, pair)
        for rival in summary.rivals or []
        if (pair := _pairs(summary.evaluation, rival.evaluation))
    ]


def beside_controls(spec: RunSpec, summary: Summary) -> str | None:
    """The best member of a population beside what its controls make likely, in words.

    That is the best of as many trials as it has members, none of them copied or changed: what
    choosing among starting settings comes to. "Unlikely" and "likely" are the ends of its 95 %
    prediction interval, see :func:`rltune.statistics.best_of`. None of a sweep without controls.
    """
    first = spec.budget.first_control
    if not spec.budget.controls or summary.settings is not None:
        return None
    if summary.stop_reason != "steps":
        return (
            f"beside its controls: the run ended by its {summary.stop_reason}, before all of them "
            "had the same steps"
        )
    scores: dict[bool, list[float]] = {True: [], False: []}
    for trial in summary.trials:
        if trial.error is None and trial.score is not None and math.isfinite(trial.score):
            scores[number_of(trial.id) >= first].append(spec.goal.score(trial.score))
    controls, members = scores[True], scores[False]
    if not members or len(controls) < FEWEST_CONTROLS:
        few = f"{len(controls)} with a score say too little, it takes {FEWEST_CONTROLS}"
        return f"beside its controls: {few}"
    score, best, (_, (low, high)) = spec.goal.score, max(members), best_of(controls, len(members))
    ended = f"{number(score(min(controls)))} to {number(score(max(controls)))}"
    told = (
        f"the best member ended its training at {number(score(best))}, {len(controls)} controls "
        f"at {ended}: "
    )
    of_others = f"the best of {len(members)} trials that nobody touches is"
    if best > high:
        beyond = f"{of_others} unlikely to pass {number(score(high))}"
        return f"{told}copying and changing made the difference ({beyond})"
    likely = f"{of_others} likely to pass {number(score(low))}"
    if best < low:
        return f"{told}copying and changing did harm ({likely})"
    return f"{told}no more than selection or luck among starting settings ({likely})"


def _pairs(ours: Evaluation, theirs: Evaluation) -> list[tuple[float, float]]:
    of_seed = dict(zip(theirs.seeds, theirs.returns, strict=False))
    return [
        (value, of_seed[seed])
        for seed, value in zip(ours.seeds, ours.returns, strict=False)
        if seed in of_seed and not math.isnan(value) and not math.isnan(of_seed[seed])
    ]


def _of_policies(
    goal: Metric, over: str, trial: str, env_steps: int, pairs: Sequence[tuple[float, float]]
) -> Confidence:
    differences = [goal.score(our - their) for our, their in pairs]
    return Confidence(
        over=over,
        trials=(trial,),
        env_steps=env_steps,
        probability=higher(differences),
        difference=sum(differences) / len(differences),
        ci95=interval(differences),
        samples=len(pairs),
        unit="episodes",
    )


def _of_settings(spec: RunSpec, settings: Sequence[SettingOutcome]) -> list[Confidence]:
    """The two settings that were judged best, of those with all their seeds."""
    goal = spec.goal
    judged = [(one, goal.score(one.judged)) for one in settings if one.judged is not None]
    full = [pair for pair in judged if len(pair[0].trials) >= spec.budget.seeds_per_trial]
    if len(full) < 2:
        return []
    (first, _), (second, _) = sorted(full, key=lambda pair: pair[1], reverse=True)[:2]
    ours, theirs = (
        goal.scores([score for score in one.scores if score is not None]) for one in (first, second)
    )
    samples = min(len(ours), len(theirs))
    enough = samples >= FEWEST_VALUES
    return [
        Confidence(
            over="runner-up",
            trials=tuple(second.trials),
            env_steps=None,
            probability=better(ours, theirs)["probability"] if enough else math.nan,
            difference=float(sum(ours) / len(ours) - sum(theirs) / len(theirs)),
            ci95=(math.nan, math.nan),
            samples=samples,
            unit="seeds",
        )
    ]
