"""A finished run as a study of Optuna's, for optuna-dashboard and Optuna's own analyses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from rltune._version import __version__
from rltune.errors import BadInput, MachineError
from rltune.reports.leaderboard import Standing, leaderboard
from rltune.runs import lineage, state_file
from rltune.runs.folder import RunFolder
from rltune.runs.front import last_values
from rltune.runs.json_text import dumps
from rltune.runs.lineage import Segment
from rltune.runs.records import Report
from rltune.runs.summary_record import Summary, TrialOutcome
from rltune.space import Parameter
from rltune.space.choices import Choice
from rltune.space.floats import Log
from rltune.space.integers import Int, LogInt, Pow2

#: What Optuna keeps as an option of a choice as it is.
_PLAIN = (str, int, float, bool, type(None))


def to_study(folder: RunFolder, url: str, *, force: bool = False) -> Study:
    """Writes a run's trials as a study, whose name is that of the run.

    Params are a trial's settings in its last report; where a population has changed them, the user
    attribute ``lineage`` has every segment. Intermediate values are the metric by environment
    steps; Optuna has none of several objectives. A trial that a scheduler stopped is PRUNED, one
    that failed or diverged is FAIL.

    Args:
        url: of the storage, as ``sqlite:///studies.db``.
        force: whether to replace a study of this name.

    Raises:
        BadInput: the run is not finished, the URL is none, or the study exists.
        MachineError: the storage failed.
    """
    summary = folder.summary
    if summary is None:
        raise BadInput(
            f"{folder.shown} is not finished: wait while it runs, or continue it with: "
            f"rltune resume {folder.shown}"
        )
    trials = trials_of(folder, summary)
    name = folder.spec.name
    kinds = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    directions = [kinds[goal.mode] for goal in folder.spec.goals]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = optuna.storages.get_storage(_checked(url))
        if name in optuna.get_all_study_names(storage):
            if not force:
                raise BadInput(f"{url} has a study {name} already: replace it with `force=True`")
            optuna.delete_study(study_name=name, storage=storage)
        study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        with warnings.catch_warnings(category=ExperimentalWarning, action="ignore"):
            study.set_metric_names([goal.name for goal in folder.spec.goals])
        for key, value in _about(folder, summary).items():
            study.set_user_attr(key, value)
        study.add_trials(trials)
    except (ArgumentError, ImportError) as error:
        raise BadInput(f"optuna {url}: {str(error).splitlines()[0]}") from error
    except SQLAlchemyError as error:
        raise MachineError(f"{url}: {str(error).splitlines()[0]}") from error
    return study


def _checked(url: str) -> str:
    if "://" not in url:
        raise BadInput(f"optuna {url}: write the storage as a URL, like sqlite:///studies.db")
    return url


def _about(folder: RunFolder, summary: Summary) -> dict[str, Any]:
    spec, scored = folder.spec, summary.evaluation
    best = None if summary.best is None else summary.best.trial
    found = {
        "rltune": __version__,
        "run": folder.place,
        "algo": spec.algo,
        "env": spec.env_id,
        "scheduler": spec.budget.scheduler,
        "searcher": spec.budget.searcher,
        "best trial": best,
    }
    return found if scored is None else {**found, "score on fresh seeds": scored.mean}


def trials_of(folder: RunFolder, summary: Summary) -> list[FrozenTrial]:
    """Every trial of a run that has reported, in the order of their numbers."""
    reports = {trial: folder.reports(trial) for trial in folder.trials()}
    standings = {one.trial: one for one in leaderboard(folder.spec, summary, reports)}
    stopped = {decision.trial for decision in folder.decisions() if decision.kind == "stop"}
    seeds = _seeds(folder)
    outcomes = {outcome.id: outcome for outcome in summary.trials}
    found = []
    for trial, rows in reports.items():
        if not rows:
            continue
        about: dict[str, Any] = {"trial": trial, "env_steps": rows[-1].env_steps}
        if trial in seeds:
            about["seed"] = seeds[trial]
        about |= _standing(standings.get(trial))
        if error := outcomes[trial].error if trial in outcomes else None:
            about["error"] = error
        segments = lineage.segments(folder, trial, rows[-1].env_steps)
        if len(segments) > 1:
            about["lineage"] = [_shown(segment) for segment in segments]
        found.append(_trial(folder, rows, _state(outcomes.get(trial), trial in stopped), about))
    return found


def _state(outcome: TrialOutcome | None, stopped: bool) -> TrialState:
    if outcome is None or outcome.status in ("ERROR", "DIVERGED"):
        return TrialState.FAIL
    return TrialState.PRUNED if stopped else TrialState.COMPLETE


def _trial(
    folder: RunFolder, rows: Sequence[Report], state: TrialState, about: Mapping[str, Any]
) -> FrozenTrial:
    space, goal, goals = folder.spec.space, folder.spec.goal, folder.spec.goals
    reported = [(row.env_steps, goal.of(row.measured)) for row in rows]
    known = {step: v for step, v in reported if v is not None and math.isfinite(v)}
    last = reported[-1][1]
    if state == TrialState.COMPLETE and not known:
        state = TrialState.FAIL
    value = known[max(known)] if known and state != TrialState.FAIL else None
    if last is not None and not math.isfinite(last):
        state, value = TrialState.FAIL, None
    values = [value]
    if len(goals) > 1:
        values, known = list(last_values(rows, goals).values()), {}
        state = TrialState.FAIL if None in values else state
    found = [value for value in values if value is not None]
    settings = rows[-1].settings
    trial = create_trial(
        state=state,
        values=None if state == TrialState.FAIL or not found else found,
        params={name: in_optuna(space[name], value) for name, value in settings.items()},
        distributions={name: distribution(space[name]) for name in settings},
        user_attrs=dict(about),
        intermediate_values=known,
    )
    if phases := folder.phases():  # without the time between parts of the run
        began = datetime.fromtimestamp(phases[0].time)
        trial.datetime_start = began + timedelta(seconds=_begin(rows[0]))
        trial.datetime_complete = began + timedelta(seconds=rows[-1].wall_seconds)
    return trial


def _begin(first: Report) -> float:
    """The second at which a trial began to train."""
    return max(0.0, first.wall_seconds - first.train_seconds)


def distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter's domain in Optuna's terms; its scale where Optuna has it."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution([in_optuna(parameter, each) for each in parameter.options])
    low, high = parameter.from_unit(0.0), parameter.from_unit(1.0)
    if isinstance(parameter, LogInt | Pow2):
        return IntDistribution(low, high, log=True)
    if isinstance(parameter, Int):
        return IntDistribution(low, high, step=parameter.step or 1)
    if isinstance(parameter, Log):
        return FloatDistribution(low, high, log=True)
    return FloatDistribution(low, high, step=parameter.step)


def in_optuna(parameter: Parameter, value: Any) -> Any:
    """A setting as Optuna keeps it: what acts may differ in the last bit of 32 from what may be."""
    if isinstance(parameter, Choice):
        if isinstance(value, _PLAIN):
            return value
        return dumps({"": value})[len('{"": ') : -1]
    return parameter.nearest(value)


def _standing(one: Standing | None) -> dict[str, Any]:
    if one is None:
        return {}
    gain = {} if one.gain is None else {"gain over the defaults": one.gain}
    return {"is best": one.is_best, **gain}


def _shown(segment: Segment) -> dict[str, Any]:
    return {
        "from": segment.first,
        "to": segment.last,
        "trial": segment.trial,
        "donor": segment.donor,
        "settings": dict(segment.settings),
    }


def _seeds(folder: RunFolder) -> dict[str, int]:
    """Training seeds by trial, as the run's state has them; empty where it has none."""
    state: Mapping[str, Any] = state_file.read(folder.path) or {}
    trials = state.get("parts", {}).get("history", {}).get("trials", [])
    return {body["id"]: body["seed"] for body in trials}
