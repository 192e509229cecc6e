"""How the best policy came to be: its schedule of settings, and what of the request never ran."""

from __future__ import annotations

from rltune.reports.words import defaults_in_words
from rltune.runs.lineage import Segment, is_default, is_schedule
from rltune.runs.summary_record import Summary
from rltune.spec import RunSpec


def facts(spec: RunSpec, summary: Summary, schedule: list[Segment]) -> list[str]:
    """What someone who reads "best settings" should know about them, in sentences.

    Args:
        schedule: of the best policy, see :attr:`rltune.reports.run_view.RunView.champion`.
    """
    found = []
    ran = sum(trial.env_steps > 0 for trial in summary.trials)
    asked = spec.budget.trials
    if ran < asked and spec.budget.seeds_per_trial == 1:
        found.append(f"{ran} of {asked} trials ran before the run ended ({summary.stop_reason})")
    if schedule and all(is_default(spec, part.settings) for part in schedule):
        found.append(f"the best trial ran at {defaults_in_words(spec)}: nothing was tuned")
    if is_schedule(schedule):
        last, total = schedule[-1], schedule[-1].last
        found.append(
            f"the best settings are a schedule; best/preset.toml has those of its last "
            f"{total - last.first:,} of {total:,} environment steps"
        )
    return found
