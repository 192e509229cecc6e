"""What a run folder's JSON files hold of a trial: reports, decisions, failures, checkpoints.

They may be cut short, edited by hand or somebody else's: ``from_dict`` checks every type. What
comes out of a whole run is in :mod:`rltune.runs.summary_record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rltune.engine.episodes import REWARD, Episode, Window, reported
from rltune.engine.metric_names import ENV_STEPS, SECONDS
from rltune.runs.checkpoints import RECORD_FILE
from rltune.runs.json_text import dumps, loads
from rltune.schema import Omitted, Record


@dataclass(frozen=True)
class Diverged(Record):
    """What ended a trial that diverged.

    Attributes:
        env_steps: on the trial's clock.
        what: the number that is not finite: "reward", "loss" ...
        value: "nan", "inf" or "-inf".
    """

    env_steps: int
    what: str
    value: str

    def __str__(self) -> str:
        return f"{self.what} is {self.value} at step {self.env_steps}"


@dataclass(frozen=True)
class Report(Record):
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
        metrics: what else is measured, by name: of the same episodes ``episode_len_mean`` and
            ``episode_info/<key>``, in the file each a field of the line; or whatever a function
            reports, in the file a table.
    """

    trial: str
    training_iteration: int
    env_steps: int
    env_steps_this_iter: int
    wall_seconds: float
    episode_reward_mean: Omitted[float | None]
    settings: Mapping[str, Any]
    diverged: Omitted[Diverged | None] = None
    train_seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def measured(self) -> dict[str, float]:
        """Every metric by its name."""
        found = {} if self.episode_reward_mean is None else {REWARD: self.episode_reward_mean}
        return found | dict(self.metrics)

    @property
    def numbers(self) -> dict[str, float]:
        """Every metric, and what the trial has spent unless a function reports its own."""
        return {ENV_STEPS: self.env_steps, SECONDS: self.train_seconds} | self.measured

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON holds it, metrics of episodes beside the fields; omits absent ones."""
        values = super().to_dict()
        metrics: dict[str, Any] = values.pop("metrics")
        beside = reported(metrics)
        others = {name: value for name, value in metrics.items() if name not in beside}
        return values | beside | ({"metrics": others} if others else {})

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The inverse of :meth:`to_dict`. Raises BadInput for what is no report."""
        if isinstance(values, Mapping):
            others = values.get("metrics", {})
            metrics = {**reported(values), **others} if isinstance(others, Mapping) else others
            values = {**values, "metrics": metrics}
        return super().from_dict(values)


@dataclass(frozen=True, kw_only=True)
class Decision(Record):
    """What a scheduler decided about a trial: once it has taken effect, a line of decisions.jsonl.

    Attributes:
        kind: "exploit", "stop", "change": other settings from here on, as a schedule says; or
            "restore", which no scheduler decides: the trial was started again.
        env_steps: on the trial's clock.
        donor: id of the trial whose weights and settings were taken; None but for an exploit.
        donor_env_steps: on the donor's clock, of the checkpoint that was copied.
        requested: the searched settings asked for.
        effective: the same read back from where they act; empty until then.
        memory: what became of the replay buffer.
        error: what the trial failed with before the decision took effect; empty where it did.
    """

    demanded = frozenset({"donor", "requested", "effective"})
    kind: str
    env_steps: int
    trial: str
    donor: str | None = None
    donor_env_steps: Omitted[int | None] = None
    requested: Mapping[str, Any] = field(default_factory=dict)
    effective: Mapping[str, Any] = field(default_factory=dict)
    memory: Omitted[Mapping[str, Any]] = field(default_factory=dict)
    error: Omitted[str] = ""

    @property
    def key(self) -> tuple[str, str, int, str | None]:
        """What tells it from other decisions, also before it has taken effect."""
        return (self.kind, self.trial, self.env_steps, self.donor)

    @property
    def moved_weights(self) -> bool:
        """Whether the trial continues with another's weights from here on."""
        return self.kind == "exploit" and not self.error


@dataclass(frozen=True, kw_only=True)
class Failure(Record):
    """A failure of a trial: a line of failures.jsonl.

    Attributes:
        env_steps: on the trial's clock.
        error: one line.
        tried_again: whether the trial was started again after it.
    """

    env_id: Omitted[str] = ""
    env_steps: Omitted[int | None] = None
    error: str
    traceback: Omitted[str] = ""
    tried_again: Omitted[bool | None] = None


@dataclass(frozen=True)
class Phase(Record):
    """What a run is doing from a moment on: a line of phases.jsonl.

    Attributes:
        name: "starting", "training", "choosing", "scoring", "ended"; or "stopped", before its end.
        time: seconds since 1970, UTC.
        done: episodes that have been played in this phase; ``of``: those that will be.
        before: of "starting", seconds that earlier parts of the run took.
    """

    name: str
    time: float
    done: Omitted[int] = 0
    of: Omitted[int] = 0
    before: Omitted[float] = 0.0


@dataclass(frozen=True)
class Exploit(Record):
    """What a clone's config says of the exploit that made it.

    Attributes:
        donor: id of the trial whose checkpoint the clone starts from.
        env_steps: on the clone's clock, which continues.
        own_checkpoint: folder of the clone's own last one; None where it has none.
        seconds: that the clone has trained by then; 0 where that is not known.
    """

    donor: str
    env_steps: int
    own_checkpoint: str | None = None
    seconds: Omitted[float] = 0.0


@dataclass(frozen=True, kw_only=True)
class TrialRecord(Record):
    """Where a trial was when it wrote a checkpoint: all that record.json holds of stock RLlib's.

    Attributes:
        seconds: that the trial has trained by then; 0 in files of earlier versions.
    """

    trial_id: Omitted[str] = ""
    env_steps: int
    seconds: Omitted[float] = 0.0
    diverged: Diverged | None = None

    def write(self, checkpoint: Path) -> None:
        """Writes it into a checkpoint's folder."""
        (checkpoint / RECORD_FILE).write_text(dumps(self.to_dict()))

    @classmethod
    def read(cls, checkpoint: Path) -> Self:
        """The record of a checkpoint. Raises BadInput for what is none."""
        return cls.from_dict(loads((checkpoint / RECORD_FILE).read_text(), cls))


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord(TrialRecord):
    """What is behind the weights of a checkpoint: record.json.

    Attributes:
        lifetime: sums over the life of the weights of what RLlib counts, by RLlib's flat key; of a
            function, what it counts as ``env_steps``.
        window: episodes that the trial's means are over.
        episode_returns: of the newest episodes, at most ``window``; ``episode_lengths`` in steps,
            ``episode_infos`` the numbers of their last ``info``. The first versions hold the
            returns alone.
        metrics: of the last report, where they are no means over episodes.
        settings: every setting, read back from where it acts.
        trial: whose checkpoint it is, in best/ alone.
    """

    training_iteration: Omitted[int] = 0
    lifetime: Omitted[Mapping[str, float]] = field(default_factory=dict)
    window: int
    episode_returns: list[float]
    episode_lengths: Omitted[list[int] | None] = None
    episode_infos: Omitted[list[Mapping[str, Any]] | None] = None
    metrics: Omitted[Mapping[str, float]] = field(default_factory=dict)
    settings: Omitted[Mapping[str, Any] | None] = None
    trial: Omitted[str | None] = None

    @property
    def episodes(self) -> list[Episode]:
        """The newest episodes; a length is 0 where it is not known."""
        returns = self.episode_returns
        lengths = [0] * len(returns) if self.episode_lengths is None else self.episode_lengths
        infos = [{}] * len(returns) if self.episode_infos is None else self.episode_infos
        return list(map(Episode, returns, lengths, infos))

    @property
    def means(self) -> dict[str, float]:
        """The metrics over the episodes, or of the last report, by name."""
        if self.metrics:
            return dict(self.metrics)
        window = Window(max(1, len(self.episode_returns)))
        window.load(self.episodes)
        return window.means()
