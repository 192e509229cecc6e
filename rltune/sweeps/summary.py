"""The end of a run: the best policy evaluated, summary.json and best/preset.toml written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune.callbacks.base import Callbacks, EvaluationStarted, SweepEnded
from rltune.errors import NothingUsable
from rltune.metric import Metric
from rltune.policies import evaluation
from rltune.policies.evaluation import Chosen, Evaluation
from rltune.runs.folder import BEST, RunFolder, can_be_finished
from rltune.runs.records import Report
from rltune.spec import CANDIDATES, RunSpec
from rltune.sweeps import multi_seed
from rltune.sweeps.preset_file import preset_toml

#: The status of a trial in which something was not finite and nobody overwrote it.
DIVERGED = "DIVERGED"


def finish(
    spec: RunSpec,
    folder: RunFolder,
    callbacks: Callbacks,
    statuses: Mapping[str, str],
    reason: str,
    wall_seconds: float,
) -> None:
    """Evaluates the best checkpoint and writes what came out.

    What the environment does not let be scored is named in the summary, as ``unscored``; the rest
    stands.

    Args:
        statuses: of each trial, by its id.
        reason: why the sweep ended.

    Raises:
        NothingUsable: no trial left a checkpoint, or not every seed, or no score is finite; the
            summary is written all the same.
    """
    rows = {name: folder.reports(name) for name in folder.trials()}
    lost = [row for name in rows for row in folder.discarded(name)]
    spent = [row for of_trial in rows.values() for row in of_trial] + lost
    env_steps = sum(row.env_steps_this_iter for row in spent)
    summary: dict[str, Any] = {
        "best": None,
        "evaluation": None,
        "env_steps": env_steps,
        "wall_seconds": round(wall_seconds, 2),
        "env_steps_per_second": round(env_steps / wall_seconds, 1),
        "trials": [
            _trial_summary(name, status, rows.get(name, []), folder.failures(name), spec.goal)
            for name, status in sorted(statuses.items())
        ],
        "stop_reason": reason,
        "metric": spec.metric,
        "mode": spec.mode,
        "unscored": [],
    }
    callbacks.notify(EvaluationStarted(spec.evaluation.episodes))
    nothing = None
    try:
        if spec.job == "sweep":
            summary |= _the_best(spec, folder)
        else:
            summary |= _each_seed(spec, folder, sorted(statuses), callbacks)
    except NothingUsable as error:
        summary["unscored"] = error.unscored
        why = None if error.unscored else _why_nothing(summary["trials"])
        nothing = NothingUsable(why or str(error), error.unscored)
    callbacks.notify(SweepEnded(summary))
    if nothing is not None:
        raise nothing


def score_again(folder: RunFolder, callbacks: Callbacks) -> None:
    """Scores a run whose training is done, and writes its summary once more.

    Raises:
        NothingUsable: as :func:`finish`.
    """
    summary = folder.summary or {}
    statuses = {trial["id"]: trial["status"] for trial in summary["trials"]}
    finish(
        folder.spec, folder, callbacks, statuses, summary["stop_reason"], summary["wall_seconds"]
    )


def _the_best(spec: RunSpec, folder: RunFolder) -> dict[str, Any]:
    """A sweep's best policy, and its score.

    Where the environment lets none be scored, the one with the best record stays.
    """
    candidates = folder.checkpoints()[:CANDIDATES]
    if not candidates:
        raise NothingUsable("no trial left a policy behind")
    played = evaluation.selection_seeds(spec.seed, spec.evaluation.selection_episodes)
    seeds_of_score = evaluation.evaluation_seeds(spec.seed, spec.evaluation.episodes)
    found = evaluation.score_checkpoints(folder, candidates, played)
    chosen = evaluation.choose(folder, found, seeds_of_score)
    _check_any_score(chosen)
    best = chosen.candidate or found[0]
    folder.keep_best(best.checkpoint, trial=best.checkpoint.parts[-3])
    outcome = _best(spec, folder, best.score, chosen.evaluation)
    return outcome | {"unscored": chosen.unscored}


def _check_any_score(*chosen: Chosen) -> None:
    """Raises NothingUsable where no policy has a score, and none will get one."""
    lost = [body for one in chosen for body in one.unscored]
    hopeless = all(one.candidate is None for one in chosen) and lost
    if hopeless and all(body["final"] for body in lost):
        first = lost[0]
        raise NothingUsable(
            f"no policy has a score, nor will another try bring one: {first['checkpoint']}, seed "
            f"{first['seeds'][0]}: {first['error']}",
            lost,
        )


def _each_seed(
    spec: RunSpec, folder: RunFolder, trials: list[str], callbacks: Callbacks
) -> dict[str, Any]:
    """Every seed's score, and what they come to."""
    found, every = [], []
    for index, trial in enumerate(trials):
        callbacks.notice(f"scoring the policies of {trial}, {index + 1} of {len(trials)}")
        chosen = multi_seed.choose(folder, index, trial)
        if chosen is None:
            raise NothingUsable(f"{trial} left no policy behind")
        every.append(chosen)
        if chosen.evaluation is not None:
            found.append(multi_seed.score(folder, index, trial, chosen))
    _check_any_score(*every)
    scored = [seed["trial"] for seed in found]
    outcome: dict[str, Any] = {
        "seeds": found,
        "unscored": [body for chosen in every for body in chosen.unscored],
        "unscored_seeds": [trial for trial in trials if trial not in scored],
    }
    if not found:
        return outcome
    best = max(found, key=lambda seed: spec.goal.score(seed["selection_score"]))
    folder.keep_best(folder.inside(best["checkpoint"]), best["trial"])
    result = Evaluation(**best["evaluation"])
    outcome |= _best(spec, folder, best["selection_score"], result)
    if spec.arms:
        return outcome | multi_seed.compare_arms(spec, found)
    together = multi_seed.across(spec, found)
    whole = not can_be_finished(outcome)
    return {
        **outcome,
        "across_seeds": together,
        # Of fewer seeds or episodes than it states it would be no evidence.
        "certificate": multi_seed.certify(spec, together) if whole else None,
    }


def _why_nothing(trials: list[dict[str, Any]]) -> str | None:
    errors = [f"{trial['id']}: {trial['error']}" for trial in trials if trial["error"]]
    if trials and all(trial["status"] == DIVERGED for trial in trials):
        return (
            f"every trial diverged; {errors[0]}. Lower the learning rates, clip gradients "
            "(grad_clip), or look at the environment's rewards."
        )
    return f"no trial left a policy behind; {errors[0]}" if errors else None


def _best(
    spec: RunSpec, folder: RunFolder, selected: float | None, result: Evaluation | None
) -> dict[str, Any]:
    """What best/ holds, with its settings as a preset beside it."""
    record = folder.best_record or {}
    # What was searched as it acted; the rest as asked, a schedule as a schedule.
    config = {**spec.settings, **{name: record["settings"][name] for name in spec.space}}
    folder.write_text("best/preset.toml", preset_toml(spec, config, result))
    goal = spec.goal
    tuned_to = goal.of_record(record)
    gap = None
    if tuned_to is not None and result is not None:
        gap = goal.score(tuned_to - result.mean)
    return {
        "best": {
            "trial": record["trial"],
            "config": config,
            "checkpoint": BEST,
            "env_steps": record["env_steps"],
            "score": tuned_to,
            "selection_score": selected,
        },
        "evaluation": result and result.to_dict(),
        # What the search believed it had, beyond what it has.
        "optimism_gap": gap,
    }


def _trial_summary(
    name: str, status: str, rows: list[Report], failures: list[dict[str, Any]], goal: Metric
) -> dict[str, Any]:
    scores = [value for row in rows if (value := goal.of(row.measured)) is not None]
    diverged = rows[-1].diverged if rows else None
    error = failures[-1]["error"] if failures and status == "ERROR" else None
    if diverged:
        status, scores = DIVERGED, []
        error = f"{diverged['what']} is {diverged['value']} at step {diverged['env_steps']}"
    return {
        "id": name,
        "status": status,
        "env_steps": rows[-1].env_steps if rows else 0,
        "score": scores[-1] if scores else None,
        "config": dict(rows[-1].settings) if rows else {},
        "error": error,
        "failures": failures,
    }
