"""What the weights of a run's best policy lived through, read from its folder. No Ray.

A population moves weights and settings from trial to trial, so that the policy it ends with was
trained by a schedule of settings that stands in no single trial's log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rltune.errors import BadInput
from rltune.runs import commands
from rltune.runs.folder import RunFolder
from rltune.runs.names import number_of
from rltune.runs.records import Decision
from rltune.space.values import is_number, same
from rltune.spec import RunSpec

#: Settings by the step they hold from: ``[env_steps, settings]``, the first from 0 on.
Schedule = list[list[Any]]
#: Before a slash in the name of an arm of a replay, whose seeds alternate between such arms.
CONTROL = "control"


@dataclass(frozen=True)
class Segment:
    """A stretch of training with the same settings, of the weights that a trial ended up with.

    Attributes:
        first: environment steps that the weights had trained before; last: and at its end.
        trial: the trial that trained them, on whose clock it went from ``begin`` to ``end``.
        donor: the trial whose weights and settings were taken at its start; None where there
            was none.
        settings: the searched settings in effect.
        change: of the settings, what differs from the segment before: (before, now) by name.
    """

    first: int
    last: int
    trial: str
    begin: int
    end: int
    donor: str | None
    settings: Mapping[str, Any]
    change: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


def segments(folder: RunFolder, trial: str, env_steps: int) -> list[Segment]:
    """What a trial's weights were trained by, the first segment first.

    Walks back through the exploits: before one of them the weights were the donor's, up to the
    checkpoint that was copied; and through changes of settings that a schedule asked for. Steps
    that the weights have trained differ from the clock of any one trial: a clone's continues from
    its own age, while its donor may have been older or younger when it was copied. A segment
    without a step is left out.

    Args:
        trial: who holds the weights.
        env_steps: on that trial's clock; later exploits are not counted.

    Raises:
        BadInput: a trial of the lineage has left no reports.
    """
    exploits = [one for one in folder.decisions() if one.moved_weights or one.kind == "change"]
    back: list[tuple[str, int, int, str | None, Mapping[str, Any]]] = []
    while (last := _last_exploit(exploits, trial, env_steps)) is not None:
        exploit = exploits[last]
        back.append((trial, exploit.env_steps, env_steps, exploit.donor, exploit.effective))
        trial = exploit.donor or trial
        env_steps = exploit.env_steps  # an early version does not tell how old the weights were
        if exploit.donor_env_steps is not None:
            env_steps = exploit.donor_env_steps
        exploits = exploits[:last]  # a donor's own exploits were written before those of its clones
    back.append((trial, 0, env_steps, None, first_settings(folder, trial)))
    found: list[Segment] = []
    at = 0
    for name, begin, end, donor, settings in reversed(back):
        if end > begin:
            before = found[-1].settings if found else settings
            change = {
                key: (before.get(key), value)
                for key, value in settings.items()
                if before.get(key) != value
            }
            steps = end - begin
            found.append(Segment(at, at + steps, name, begin, end, donor, dict(settings), change))
            at += steps
    return found


def is_schedule(lived: Sequence[Segment]) -> bool:
    """Whether settings changed while the weights were trained."""
    return any(segment.settings != lived[0].settings for segment in lived)


def schedule(folder: RunFolder, trial: str, env_steps: int) -> tuple[Schedule, int]:
    """The searched settings that a trial's weights were trained under, and for how many steps.

    The arguments, and what is raised, are those of :func:`segments`.
    """
    lived = segments(folder, trial, env_steps)
    found: Schedule = []
    for segment in lived:
        if not found or found[-1][1] != segment.settings:
            found.append([segment.first, dict(segment.settings)])
    return found, lived[-1].last if lived else 0


def arms(folder: RunFolder) -> tuple[dict[str, Schedule], int]:
    """What a replay compares, and the environment steps that the best policy was trained for.

    ``schedule`` is the best policy's; ``final`` its last settings, held from the start;
    ``initial`` the settings that the member started with which led at the first decision;
    ``control/<trial>`` those of each control, which nobody has chosen. A best policy that trained
    at the same settings throughout has no ``final`` and no ``initial`` ones beside it.

    Raises:
        BadInput: the run has no best policy yet; or it trained at the same settings throughout, and
            the run had no controls.
    """
    summary = folder.summary
    best = None if summary is None else summary.best
    if best is None:
        raise BadInput(
            f"{folder.shown} has not come to its end with a policy, so there is no champion to "
            f"replay: rltune resume {folder.shown}"
        )
    lived, env_steps = schedule(folder, best.trial, best.env_steps)
    untouched: dict[str, Schedule] = {
        f"{CONTROL}/{name}": [[0, first_settings(folder, name)]] for name in controls(folder)
    }
    if len(lived) < 2 and untouched:
        return {"schedule": lived, **untouched}, env_steps
    if len(lived) < 2:
        told = (
            f"{folder.shown}: its best trial trained at the same settings throughout, there is no "
            "schedule to replay"
        )
        if not folder.spec.plays:
            raise BadInput(told)
        preset = f"{folder.relative}/best/preset.toml"
        raise BadInput(
            f"{told}. What its settings come to on fresh seeds: "
            + commands.with_preset(folder.spec, preset, train=True)
        )
    initial = first_settings(folder, early_leader(folder))
    constant: dict[str, Schedule] = {"final": [[0, lived[-1][1]]], "initial": [[0, initial]]}
    return {"schedule": lived, **constant, **untouched}, env_steps


def controls(folder: RunFolder) -> list[str]:
    """The controls of a population that have reported."""
    first = folder.spec.budget.first_control
    return [name for name in folder.trials() if number_of(name) >= first]


def defaults_of(spec: RunSpec) -> dict[str, Any]:
    """The preset's defaults of what is searched; empty where not every one is known."""
    known = {**spec.space.defaults(), **spec.settings}
    found = {name: known.get(name) for name in spec.space}
    return {} if None in found.values() else found


def is_default(spec: RunSpec, settings: Mapping[str, Any]) -> bool:
    """Whether searched settings are the preset's defaults."""
    defaults = defaults_of(spec)
    return bool(defaults) and all(_alike(settings.get(n), v) for n, v in defaults.items())


def agree(settings: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether settings have the values that others give to the same names."""
    return all(
        name not in others or _alike(value, others[name]) for name, value in settings.items()
    )


def _alike(one: Any, other: Any) -> bool:
    """Whether values are the same; what acts may have gone through a float of 32 bits."""
    if is_number(one) and is_number(other):
        return math.isclose(one, other, rel_tol=1e-6)
    return same(one, other)


def first_settings(folder: RunFolder, trial: str) -> dict[str, Any]:
    """The searched settings that a trial started with.

    Raises:
        BadInput: it has left no reports.
    """
    rows = folder.reports(trial)
    if not rows:
        raise BadInput(f"{folder.shown}: {trial} has no reports in its progress.jsonl")
    return dict(rows[0].settings)


def early_leader(folder: RunFolder) -> str:
    """The member that led at the first decision, and so had the best of the initial settings.

    Returns are compared at the last age that every member reached before anything was copied, by
    the last report up to there. Members that failed for good before are left out.

    Raises:
        BadInput: no member had a return at that age.
    """
    goal = folder.spec.goal
    copied: dict[str, int] = {}
    for decision in folder.decisions():
        if decision.moved_weights:
            copied.setdefault(decision.trial, decision.env_steps)
    rows = {trial: rows for trial in folder.trials() if (rows := folder.reports(trial))}
    ends = {trial: copied.get(trial, of[-1].env_steps) for trial, of in rows.items()}
    outcomes = [] if (summary := folder.summary) is None else summary.trials
    failed = {outcome.id for outcome in outcomes if outcome.error}
    age = min((end for trial, end in ends.items() if trial not in failed), default=0)
    scores = {
        trial: score
        for trial, of in rows.items()
        if ends[trial] >= age
        and (seen := [goal.score_of(r.measured) for r in of if r.env_steps <= age])
        and (score := seen[-1]) is not None
    }
    if not scores:
        raise BadInput(
            f"{folder.shown}: no member had a return at the first decision, {age:,} steps: which "
            "initial settings were the best cannot be told"
        )
    return max(scores, key=lambda trial: scores[trial])


def _last_exploit(exploits: Sequence[Decision], trial: str, before: int) -> int | None:
    """The place of the last one that made a trial's weights of a step; None for its own."""
    found = [
        place
        for place, exploit in enumerate(exploits)
        if exploit.trial == trial and exploit.env_steps < before
    ]
    return found[-1] if found else None
