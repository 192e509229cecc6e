"""The best policy of a run, as summary.json and best/ hold it."""

from __future__ import annotations

from dataclasses import replace

from rltune.errors import NothingUsable
from rltune.policies.evaluation import Chosen
from rltune.policies.preset_file import preset_toml
from rltune.runs import lineage
from rltune.runs.folder import BEST, RunFolder
from rltune.runs.summary_record import BestPolicy, Evaluation, Summary
from rltune.spec import RunSpec


def check_any_score(*chosen: Chosen) -> None:
    """Raises NothingUsable where no policy has a score, and none will get one."""
    lost = [episodes for one in chosen for episodes in one.unscored]
    hopeless = all(one.candidate is None for one in chosen) and lost
    if hopeless and all(episodes.final for episodes in lost):
        first = lost[0]
        raise NothingUsable(
            f"no policy has a score, nor will another try bring one: {first.checkpoint}, seed "
            f"{first.seeds[0]}: {first.error}",
            lost,
        )


def with_best(
    summary: Summary,
    spec: RunSpec,
    folder: RunFolder,
    selected: float | None,
    result: Evaluation | None,
    trained: bool = False,
) -> Summary:
    """A summary with what best/ holds, whose settings are written as a preset beside it.

    Args:
        selected: the policy's score on selection seeds.
        trained: whether the run trained settings that were given, and searched none.
    """
    record = folder.best_record
    assert record is not None
    acted = record.settings or {}
    # What was searched as it acted; the rest as asked, a schedule as a schedule.
    config = {**spec.settings, **{name: acted[name] for name in spec.space}}
    trial, lived = record.trial or "", []
    if folder.reports(trial):
        lived = lineage.segments(folder, trial, record.env_steps)
    told = spec
    if folder.job.job == "landscape":  # whose trials have no target, whatever was asked for
        told, trained = replace(spec, budget=replace(spec.budget, target=None)), True
    folder.write_text("best/preset.toml", preset_toml(told, config, result, trained, lived))
    goal = spec.goal
    gap = None
    if selected is not None and result is not None:
        gap = goal.score(selected - result.mean)
    best = BestPolicy(
        trial=trial,
        config=config,
        checkpoint=BEST,
        env_steps=record.env_steps,
        score=goal.of(record.means),
        selection_score=selected,
    )
    return replace(summary, best=best, evaluation=result, optimism_gap=gap)
