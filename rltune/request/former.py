"""Trials of former runs, which a searcher starts from as if they were its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from rltune import searchers
from rltune.errors import BadInput
from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.searchers.history import PastTrial, last_finite, scores_of
from rltune.simulator import shipped
from rltune.simulator.table import Table
from rltune.space.values import same
from rltune.spec import FormerTrial, RunSpec

#: Stands for the landscape that ships for the preset; a folder of this name is ``./landscape``.
LANDSCAPE = "landscape"
#: Scores of a former trial that are kept, spread over its reports; the last is one of them.
SCORES_KEPT = 20
#: Settings that no score depends on.
UNSCORED = frozenset(
    {"save_buffer", "exploit_buffer", "num_env_runners", "min_sample_timesteps_per_iteration"}
)
#: Decisions after which a trial still has the settings that it started with.
_HARMLESS = ("stop", "restore")


def with_former(spec: RunSpec, runs: Sequence[str | Path]) -> RunSpec:
    """A request with the trials of former runs.

    They are copied into the request: a resume does not need those runs any more. A trial that says
    nothing about this search is kept with the reason why it is left out.

    Args:
        runs: run folders; :data:`LANDSCAPE` among them is the landscape that ships.

    Raises:
        BadInput: the searcher does not learn from results; one is no run, or of another task or
            metric; or no trial of theirs can be used.
    """
    if not runs:
        return spec
    name = spec.budget.searcher
    if not searchers.SEARCHERS[name].learns:
        able = [name for name, row in searchers.SEARCHERS.items() if row.learns and not row.broken]
        raise BadInput(
            f"former: searcher {name} learns nothing from former runs: use one of {', '.join(able)}"
        )
    landscapes = sum(run == LANDSCAPE for run in runs)
    folders = [RunFolder.open(run) for run in runs if run != LANDSCAPE]
    problems = [problem for folder in folders for problem in _problems(spec, folder)]
    if landscapes:
        problems += [f"former: {LANDSCAPE}: {problem}" for problem in shipped.mismatches(spec)]
    times = Counter([*(folder.path.resolve() for folder in folders), *[LANDSCAPE] * landscapes])
    problems += [f"former: {path} is given twice" for path, count in times.items() if count > 1]
    if problems:
        raise BadInput(problems)
    trials = list(_measured(spec)) if landscapes else []
    every = _distinct([*[LANDSCAPE] * landscapes, *(folder.path.name for folder in folders)])
    named = zip(folders, every[landscapes:], strict=True)
    trials += [trial for folder, name in named for trial in _trials(spec, folder, name)]
    if all(trial.left_out for trial in trials):
        reasons = Counter(trial.left_out for trial in trials)
        raise BadInput(
            "former: no trial of these runs can be used: "
            + ("; ".join(f"{n} {why}" for why, n in reasons.items()) or "they have no trials")
        )
    return replace(spec, former=tuple(trials))


def note(spec: RunSpec) -> str | None:
    """Returns a note on former trials that are left out; None where all are used."""
    reasons = Counter(trial.left_out for trial in spec.former if trial.left_out)
    if not reasons:
        return None
    used = len(spec.former) - reasons.total()
    why = "; ".join(f"{count} {reason}" for reason, count in reasons.items())
    return f"{used} of {len(spec.former)} former trials are used. Left out: {why}"


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of runs, numbered where another has the same: searchers know a trial by its id."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name}-{place}" for place in count(2))
        free = (one for one in numbered if one not in names and one not in found)
        found.append(next(free) if name in found else name)
    return found


def _problems(spec: RunSpec, folder: RunFolder) -> Iterator[str]:
    """Why the scores of a run say nothing here."""
    other = folder.spec
    for what, theirs, ours in (
        ("algorithm", other.algo, spec.algo),
        ("environment" if spec.plays else "function", other.env_id, spec.env_id),
        (
            "environment's arguments",
            [dict(one.env_options.env_args) for one in other.singles],
            [dict(one.env_options.env_args) for one in spec.singles],
        ),
        ("metric", str(other.goal), str(spec.goal)),
    ):
        if theirs != ours:
            yield f"former: {folder.shown} has another {what}: {theirs} there, {ours} here"
    there, here = _scales(other), _scales(spec)
    if other.env_id == spec.env_id and there != here:
        yield f"former: {folder.shown} has other scales: {there} there, {here} here"


def _scales(spec: RunSpec) -> dict[str, tuple[float, float]]:
    """What is 0 and 1 in each of several environments."""
    return {one.name: (one.random.mean, one.threshold) for one in spec.environments}


def _trials(spec: RunSpec, folder: RunFolder, run: str) -> Iterator[FormerTrial]:
    known = {trial.id: trial for trial in _known(folder)}
    decisions = folder.decisions()
    changed = {decision.trial for decision in decisions if decision.kind not in _HARMLESS}
    stopped = {decision.trial for decision in decisions if decision.kind == "stop"}
    for name in folder.trials():
        past = known.get(name)
        if past is None:
            rows = folder.reports(name)
            past = PastTrial(name, rows[0].settings if rows else {}, status="ended")
        settings = {**folder.spec.settings, **past.settings}
        scores = [(at, score) for at, score in scores_of(folder, name) if at <= spec.budget.steps]
        further = _further(spec, folder, name)
        failed = past.status == "failed" or folder.diverged(name) is not None
        short = name in stopped or past.status != "ended" or _is_short(spec, folder, scores)
        reason = "changed settings while they trained" if name in changed else ""
        yield FormerTrial(
            id=f"{run}/{name}",
            settings={name: settings.get(name) for name in spec.space},
            seed=past.seed,
            status="failed" if failed else "stopped" if short else "ended",
            scores=_thinned([(at, score) for at, score in scores if score is not None]),
            left_out=reason
            or _other_settings(spec, settings, folder.spec.space)
            or _unknown(spec, scores, failed)
            or _lacks(spec, further, failed),
            further=[score for score in further if score is not None],
        )


def _measured(spec: RunSpec) -> Iterator[FormerTrial]:
    """The training runs of the landscape that ships, as trials."""
    table = Table.shipped(spec.algo, spec.env)
    runs = [(tried, *run) for tried, curves in table.measured() for run in enumerate(curves)]
    for number, (tried, seed, curve) in enumerate(runs):
        known = np.isfinite(curve.scores) & (curve.env_steps <= spec.budget.steps)
        # Of the return a larger value is the better score.
        steps, scores = map(int, curve.env_steps[known]), map(float, curve.scores[known])
        rows = list(zip(steps, scores, strict=True))
        failed, short = not np.isfinite(curve.scores).all(), curve.env_steps[-1] < spec.budget.steps
        settings = {**spec.settings, **tried}
        yield FormerTrial(
            id=f"{LANDSCAPE}/{number:03d}",
            settings={name: settings[name] for name in spec.space},
            seed=seed,
            status="failed" if failed else "stopped" if short else "ended",
            scores=_thinned(rows),
            left_out=_other_settings(spec, settings, table.space)
            or _unknown(spec, rows, failed)
            or _lacks(spec, (), failed),
        )


def _known(folder: RunFolder) -> list[PastTrial]:
    """The history that the run has saved; empty for one of an earlier version."""
    state: Mapping[str, Any] = state_file.read(folder.path) or {}
    trials = state.get("parts", {}).get("history", {}).get("trials", [])
    return [PastTrial(**body) for body in trials]


def _is_short(spec: RunSpec, folder: RunFolder, scores: Sequence[tuple[int, Any]]) -> bool:
    """Whether a trial ended at a budget that is smaller than this run's."""
    budget = folder.spec.budget.steps
    return budget < spec.budget.steps and bool(scores) and scores[-1][0] >= budget


def _other_settings(spec: RunSpec, settings: Mapping[str, Any], searched: Iterable[str]) -> str:
    """Why a trial's settings are none of this run's.

    Args:
        searched: names of settings in which the trials of its run differ.
    """
    for name, parameter in spec.space.items():
        if name not in settings:
            return f"without {name}"
        if not parameter.contains(settings[name]):
            return f"outside the space of {name}"
    fixed = [name for name in spec.settings if name in settings and name not in UNSCORED]
    for name in dict.fromkeys([*searched, *fixed]):
        if name not in spec.space and not same(settings.get(name), spec.settings.get(name)):
            return f"at another {name}, which is fixed here"
    return ""


def _unknown(spec: RunSpec, scores: Sequence[tuple[int, Any]], failed: bool) -> str:
    if failed or any(score is not None for _, score in scores):
        return ""
    return f"without a score in their first {spec.budget.steps:,} environment steps"


def _further(spec: RunSpec, folder: RunFolder, name: str) -> list[float | None]:
    """The last scores of all objectives of this run but the first."""
    rows = [row for row in folder.reports(name) if row.env_steps <= spec.budget.steps]
    scores = [spec.further_scores(row.numbers) for row in rows]
    return [last_finite(column) for column in zip(*scores, strict=True)]


def _lacks(spec: RunSpec, further: Sequence[float | None], failed: bool) -> str:
    """Which objectives a trial has no score of; empty for none."""
    goals = zip_longest(spec.goals[1:], further)
    lacking = [goal.name for goal, score in goals if score is None]
    return "" if failed or not lacking else f"without {' and '.join(lacking)}"


def _thinned(scores: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most :data:`SCORES_KEPT` of them, the last among them."""
    step = -(-len(scores) // SCORES_KEPT) or 1
    return list(scores)[::-1][::step][::-1]
