"""The end of a run: the best policy evaluated, summary.json and best/preset.toml written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rltune import evaluation
from rltune.errors import NothingUsable
from rltune.evaluation import Evaluation
from rltune.observer import Observer
from rltune.runs import BEST, RunFolder
from rltune.spec import Row, RunSpec
from rltune.sweeps import seeds

#: Episodes behind the score of a run.
EPISODES = 100
#: The status of a trial in which something was not finite and nobody overwrote it.
DIVERGED = "DIVERGED"


def finish(
    spec: RunSpec,
    folder: RunFolder,
    observer: Observer,
    statuses: Mapping[str, str],
    reason: str,
    wall_seconds: float,
) -> None:
    """Evaluates the best checkpoint and writes what came out.

    Args:
        statuses: of each trial, by its id.
        reason: why the sweep ended.

    Raises:
        NothingUsable: no trial left a checkpoint, or not every seed; the summary is written all
            the same.
    """
    rows = {name: folder.rows(name) for name in folder.trials()}
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
            _trial_summary(name, status, rows.get(name, []), folder.failures(name))
            for name, status in sorted(statuses.items())
        ],
        "stop_reason": reason,
    }
    observer.evaluating(EPISODES)
    nothing = None
    try:
        if spec.job == "sweep":
            summary |= _the_best(spec, folder)
        else:
            summary |= _each_seed(spec, folder, sorted(statuses), observer)
    except NothingUsable as error:
        nothing = NothingUsable(_why_nothing(summary["trials"]) or str(error))
    folder.write_summary(summary)
    observer.ended(summary)
    if nothing is not None:
        raise nothing


def _the_best(spec: RunSpec, folder: RunFolder) -> dict[str, Any]:
    """A sweep's best policy, and its score."""
    best = evaluation.select(folder)
    if best is None:
        raise NothingUsable("no trial left a policy behind")
    result = evaluation.evaluate(folder, EPISODES)
    return _best(spec, folder, best.score, result)


def _each_seed(
    spec: RunSpec, folder: RunFolder, trials: list[str], observer: Observer
) -> dict[str, Any]:
    """Every seed's score, and what they come to."""
    found = []
    for index, trial in enumerate(trials):
        observer.notice(f"scoring the policies of {trial}, {index + 1} of {len(trials)}")
        seed = seeds.score_seed(folder, index, trial, EPISODES)
        if seed is None:
            raise NothingUsable(f"{trial} left no policy behind")
        found.append(seed)
    best = max(found, key=lambda seed: float(seed["selection_score"]))
    folder.keep_best(folder.path / best["checkpoint"], best["trial"])
    result = Evaluation(**best["evaluation"])
    outcome = _best(spec, folder, best["selection_score"], result) | {"seeds": found}
    if spec.arms:
        return outcome | seeds.compare_arms(spec, found)
    together = seeds.across(spec, found)
    return {
        **outcome,
        "across_seeds": together,
        "certificate": seeds.certify(spec, together),
    }


def _why_nothing(trials: list[dict[str, Any]]) -> str | None:
    errors = [f"{trial['id']}: {trial['error']}" for trial in trials if trial["error"]]
    if trials and all(trial["status"] == DIVERGED for trial in trials):
        return (
            f"every trial diverged; {errors[0]}. Lower the learning rates, clip gradients "
            "(grad_clip), or look at the environment's rewards."
        )
    return f"no trial left a policy behind; {errors[0]}" if errors else None


def _best(spec: RunSpec, folder: RunFolder, selected: float, result: Evaluation) -> dict[str, Any]:
    """What best/ holds, with its settings as a preset beside it."""
    record = folder.best_record or {}
    # What was searched as it acted; the rest as asked, a schedule as a schedule.
    config = {**spec.settings, **{name: record["settings"][name] for name in spec.space}}
    folder.write_text("best/preset.toml", preset_toml(spec, config, result))
    returns = record["episode_returns"]
    tuned_to = sum(returns) / len(returns) if returns else None
    return {
        "best": {
            "trial": record["trial"],
            "config": config,
            "checkpoint": BEST,
            "env_steps": record["env_steps"],
            "score": tuned_to,
            "selection_score": selected,
        },
        "evaluation": result.to_dict(),
        # What the search believed it had, beyond what it has.
        "optimism_gap": None if tuned_to is None else tuned_to - result.mean,
    }


def _trial_summary(
    name: str, status: str, rows: list[Row], failures: list[dict[str, Any]]
) -> dict[str, Any]:
    scores = [row.episode_reward_mean for row in rows if row.episode_reward_mean is not None]
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


def preset_toml(spec: RunSpec, settings: dict[str, Any], result: Evaluation) -> str:
    """The best settings as a preset file: ``rltune ALGO ENV --preset`` starts from them."""
    lines = [
        f"# {spec.algo} on {spec.env_id}: return {result.mean:.1f} "
        f"[{result.ci95[0]:.1f}, {result.ci95[1]:.1f}] over {result.episodes} episodes",
        f"env = {_toml(spec.env)}",
        "",
        "[settings]",
        *(f"{name} = {_toml(value)}" for name, value in sorted(settings.items())),
        "",
        "[space]",
        *(
            f"{name} = {{ {p.kind} = {_toml(p.domain())}, default = {_toml(settings[name])} }}"
            for name, p in spec.space.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A setting's value as TOML writes it: all settings are numbers, texts, flags or lists."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return repr(value)
