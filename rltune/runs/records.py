"""The shape of a run folder's JSON files: what keys they have, and of what type each value is.

They may be cut short, edited by hand or somebody else's; who reads them relies on their shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, NotRequired, TypedDict, get_type_hints

from rltune.engine.episodes import REWARD, reported
from rltune.errors import BadInput
from rltune.schema import fields_problems

Interval = tuple[float | None, float | None]


class Score(TypedDict):
    """``evaluation`` in summary.json. A number that was NaN is null."""

    mean: float | None
    iqm: float | None
    ci95: Interval
    episodes: int
    seeds: list[int]
    returns: list[float | None]


class Best(TypedDict):
    """``best`` in summary.json."""

    trial: str
    config: Mapping[str, Any]
    checkpoint: str
    env_steps: int
    score: float | None


class OfTrial(TypedDict):
    """One of ``trials`` in summary.json."""

    id: str
    status: str
    error: str | None


class OfSeed(TypedDict):
    """One of ``seeds`` in summary.json."""

    trial: str
    score: float | None
    checkpoint: str
    env_steps: int
    train_seconds: float
    env_steps_to_threshold: int | None


class Across(TypedDict):
    """Statistics over seeds in summary.json."""

    seeds: int
    episodes: int
    scores: list[float | None]
    iqm: float | None
    ci95: Interval
    env_steps: int
    threshold: float | None
    share_over_threshold: float | None
    optimism_gap: float | None


class Comparison(TypedDict):
    """One of ``comparisons`` in summary.json."""

    arm: str
    over: str
    probability: float
    ci95: tuple[float, float]


class Unscored(TypedDict):
    """One of ``unscored`` in summary.json."""

    phase: str
    trial: str
    error: str
    final: bool
    seeds: list[int]


class Summary(TypedDict):
    """summary.json."""

    best: Best | None
    evaluation: Score | None
    env_steps: int
    wall_seconds: float
    trials: list[OfTrial]
    stop_reason: str
    optimism_gap: NotRequired[float | None]
    unscored: NotRequired[list[Unscored]]
    unscored_seeds: NotRequired[list[str]]
    seeds: NotRequired[list[OfSeed]]
    across_seeds: NotRequired[Across | None]
    arms: NotRequired[Mapping[str, Across]]
    comparisons: NotRequired[list[Comparison]]
    certificate: NotRequired[str | None]


class Record(TypedDict):
    """record.json of a checkpoint."""

    env_steps: int
    episode_returns: list[float]
    window: int
    trial: NotRequired[str]
    settings: NotRequired[Mapping[str, Any]]
    episode_lengths: NotRequired[list[int]]
    episode_infos: NotRequired[list[Mapping[str, Any]]]
    diverged: NotRequired[Mapping[str, Any] | None]


class Failure(TypedDict):
    """A line of failures.jsonl."""

    error: str


class Decision(TypedDict):
    """A line of decisions.jsonl."""

    kind: str
    trial: str
    env_steps: int
    donor: str | None
    requested: Mapping[str, Any]
    effective: Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """One report of one trial: a line of progress.jsonl.

    Attributes:
        env_steps: environment steps the trial has taken; an exploit does not change them.
        env_steps_this_iter: steps this report adds to what the sweep has spent, those that
            finished episodes before a pause included, which are not on the trial's clock.
        wall_seconds: since the sweep began, resumed parts added up.
        episode_reward_mean: None until an episode has ended.
        settings: the searched settings, read back from where they act.
        diverged: what was not finite, and at which step; None while all is.
        train_seconds: that this trial itself has sampled and trained, its set-up not counted.
        metrics: what else is measured of the same episodes, ``episode_len_mean`` and
            ``episode_info/<key>``; in the file each is a field of the line.
    """

    trial: str
    training_iteration: int
    env_steps: int
    env_steps_this_iter: int
    wall_seconds: float
    episode_reward_mean: float | None
    settings: Mapping[str, Any]
    diverged: Mapping[str, Any] | None = None
    train_seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def measured(self) -> dict[str, float]:
        """Every metric by its name."""
        found = {} if self.episode_reward_mean is None else {REWARD: self.episode_reward_mean}
        return found | dict(self.metrics)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; omits absent fields."""
        values = asdict(self) | dict(self.metrics)
        del values["metrics"]
        for name in ("episode_reward_mean", "diverged"):
            if values[name] is None:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """The inverse of :meth:`to_dict`. Raises BadInput for what is no report."""
        hints = {name: kind for name, kind in _report_hints().items() if name != "metrics"}
        optional = frozenset({"episode_reward_mean", "diverged", "train_seconds"})
        if problems := fields_problems(values, hints, optional, closed=False):
            raise BadInput(problems)
        known = set(hints)
        present = {name: value for name, value in values.items() if name in known}
        return cls(**{"episode_reward_mean": None, **present}, metrics=reported(values))


@cache
def _report_hints() -> dict[str, Any]:
    return get_type_hints(Report)
