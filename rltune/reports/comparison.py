"""Several runs beside each other: what of them can be compared, and by which scores."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rltune.envs.arguments import canonical
from rltune.errors import BadInput
from rltune.metric import Metric
from rltune.reports.run_view import RunView
from rltune.reports.words import ARMS
from rltune.statistics import iqm

#: What of a request does not tell two methods apart.
_INCIDENTAL = (
    *("seed", "name", "storage", "command", "started_in", "versions", "callbacks", "report"),
    *("concurrent", "address", "cpus_per_trial", "extensions"),
)


@dataclass(frozen=True)
class Entry:
    """Scores that are compared with others.

    Attributes:
        task: what was tuned for.
        name: of a run, of an arm of a replay, or of several runs of the same request.
        scores: the metric, one a ``unit``: "runs", "seeds" or "episodes".
    """

    task: str
    name: str
    scores: Sequence[float]
    unit: str

    @property
    def panel(self) -> str:
        """What it is compared within: scores of another task or unit say other things."""
        return f"{self.task}, {self.unit}"

    @property
    def iqm(self) -> float:
        """Their interquartile mean."""
        return float(iqm(self.scores))


@dataclass(frozen=True)
class Comparison:
    """Several runs.

    Attributes:
        runs: as they were given, by a name that tells them apart.
        repeated: the runs of each request, which differ in their seeds alone, by what they share.
        entries: what is compared.
        goal: what all of them tuned.
    """

    runs: Mapping[str, RunView]
    repeated: Mapping[str, Sequence[RunView]]
    entries: Sequence[Entry]
    goal: Metric

    @classmethod
    def of(cls, runs: Sequence[RunView]) -> Comparison:
        """Compares runs; those of the same request but for their seed are one entry.

        Raises:
            BadInput: they tuned different metrics.
        """
        goals = {str(run.goal): run.goal for run in runs}
        if len(goals) > 1:
            raise BadInput(
                f"runs of different metrics cannot be compared: {', '.join(goals)}. Report those "
                "of one metric at a time."
            )
        names = [run.spec.name for run in runs]
        if len(set(names)) < len(names):
            names = [str(run.folder.relative) for run in runs]
        named = dict(zip(names, runs, strict=True))
        groups = _labelled(_alike(named))
        repeated = {label: list(group.values()) for label, group in groups.items()}
        entries = [entry for one in groups.items() for entry in _entries(*one)]
        return cls(named, repeated, entries, runs[0].goal)


def task_of(run: RunView) -> str:
    """What a run tuned for: scores of other tasks are on other scales."""
    if not run.spec.plays:
        return run.spec.env
    scales = (
        f"{_with_arguments(one.env_id, one.env_args)} "
        f"(0 at {one.random.mean:g}, 1 at {one.threshold:g})"
        for one in run.spec.environments
    )
    alone = _with_arguments(run.spec.env_id, run.spec.env_options.env_args)
    return ", ".join(scales) or alone


def _with_arguments(env_id: str, env_args: Mapping[str, Any]) -> str:
    return f"{env_id} {canonical(env_args)}" if env_args else env_id


def _alike(runs: Mapping[str, RunView]) -> list[dict[str, RunView]]:
    """The runs of each request, by name."""
    found: dict[str, dict[str, RunView]] = {}
    for name, run in runs.items():
        found.setdefault(_request(run), {})[name] = run
    return list(found.values())


def _labelled(groups: Sequence[dict[str, RunView]]) -> dict[str, dict[str, RunView]]:
    """Groups of runs by what all names have before their number, if no other group has it."""
    stems = [{re.sub(r"[-_]?\d+$", "", name) for name in group} for group in groups]
    counts = Counter(stem for of in stems for stem in of)
    return {
        min(of) if len(group) > 1 and len(of) == counts[min(of)] == 1 else ", ".join(group): group
        for group, of in zip(groups, stems, strict=True)
    }


def _entries(label: str, together: Mapping[str, RunView]) -> Iterator[Entry]:
    """What is compared of runs of the same request, by name."""
    outcomes = [score for run in together.values() if (score := outcome(run)) is not None]
    if len(outcomes) > 1:
        yield Entry(task_of(next(iter(together.values()))), label, outcomes, "runs")
        return
    for name, run in together.items():
        for part, scores, unit in _samples(name, run):
            known = [score for score in scores if math.isfinite(score)]
            if known:
                yield Entry(task_of(run), part, known, unit)


def _request(run: RunView) -> str:
    """What was asked for, without what differs between repetitions."""
    asked: dict[str, Any] = {**run.spec.to_dict(), **run.job.to_dict()}
    return str({key: value for key, value in asked.items() if key not in _INCIDENTAL})


def outcome(run: RunView) -> float | None:
    """The one number that a run came to; None without one."""
    summary = run.summary
    if summary is None or summary.arms is not None:
        return None
    value: float | None = None
    if summary.across_seeds is not None:
        value = summary.across_seeds.iqm
    elif summary.evaluation is not None:
        value = summary.evaluation.mean
    elif summary.best is not None:
        value = summary.best.score
    return value if value is not None and math.isfinite(value) else None


def _samples(name: str, run: RunView) -> Iterator[tuple[str, Sequence[float], str]]:
    """The scores behind the outcome of one run."""
    summary = run.summary
    if summary is None:
        return
    if summary.arms is not None:
        for arm, of in summary.arms.items():
            yield f"{name}: {ARMS.get(arm, arm)}", of.scores, "seeds"
    elif summary.across_seeds is not None:
        yield name, summary.across_seeds.scores, "seeds"
    elif summary.evaluation is not None:
        yield name, summary.evaluation.returns, "episodes"
    elif summary.best is not None and summary.best.score is not None:
        yield name, [summary.best.score], "runs"
