"""The best policy of a run, as summary.json and best/ hold it."""

from __future__ import annotations

from typing import Any

from rltune.errors import NothingUsable
from rltune.policies.evaluation import Chosen, Evaluation
from rltune.runs.folder import BEST, RunFolder
from rltune.spec import RunSpec
from rltune.sweeps.preset_file import preset_toml


def check_any_score(*chosen: Chosen) -> None:
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


def best_of(
    spec: RunSpec,
    folder: RunFolder,
    selected: float | None,
    result: Evaluation | None,
    trained: bool = False,
) -> dict[str, Any]:
    """What best/ holds, with its settings as a preset beside it.

    Args:
        selected: the policy's score on selection seeds.
        trained: whether the run trained settings that were given, and searched none.
    """
    record = folder.best_record or {}
    # What was searched as it acted; the rest as asked, a schedule as a schedule.
    config = {**spec.settings, **{name: record["settings"][name] for name in spec.space}}
    folder.write_text("best/preset.toml", preset_toml(spec, config, result, trained))
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
