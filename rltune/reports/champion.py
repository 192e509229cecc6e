"""How the best policy came to be: its schedule of settings, and what of the request never ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rltune.engine.metric_names import LENGTH
from rltune.envs import INFOS, MAX_EPISODE_STEPS
from rltune.reports.words import clock_in_words, defaults_in_words, outcome_in_words
from rltune.runs.lineage import Segment, is_default, is_schedule
from rltune.runs.records import Report
from rltune.runs.summary_record import Summary
from rltune.spec import RunSpec

#: Differences that are named.
SHOWN = 3


def facts(
    spec: RunSpec,
    summary: Summary,
    schedule: list[Segment],
    reported: Mapping[str, Sequence[Report]],
) -> list[str]:
    """What someone who reads "best settings" should know about them, in sentences.

    Args:
        schedule: of the best policy, see :attr:`rltune.reports.run_view.RunView.champion`.
        reported: reports that the run folder holds, by trial.
    """
    found = _unfit(spec, summary, reported)
    if lost := [one.id for one in summary.trials if one.env_steps and one.id not in reported]:
        found.append(f"the run folder lacks the reports of {', '.join(lost)}")
    if summary.best is not None and spec.space and not schedule:
        found.append(
            f"how the best {outcome_in_words(spec)} came by its settings is not known: the run "
            "folder lacks reports or decisions"
        )
    ran = sum(trial.env_steps > 0 for trial in summary.trials)
    asked = spec.budget.trials
    if ran < asked and spec.budget.seeds_per_trial == 1:
        found.append(f"{ran} of {asked} trials ran before the run ended ({summary.stop_reason})")
    if schedule and all(is_default(spec, part.settings) for part in schedule):
        found.append(f"the best trial ran at {defaults_in_words(spec)}: nothing was tuned")
    if is_schedule(schedule):
        last, total = schedule[-1], schedule[-1].last
        place = "best/preset.toml has" if spec.plays else "summary.json has, as best.config,"
        found.append(
            f"the best settings are a schedule; {place} those of its last "
            f"{total - last.first:,} of {total:,} {clock_in_words(spec)}, its donors' included"
        )
    if summary.best is not None and _are_cut(spec, reported.get(summary.best.trial, ())):
        found.append(
            f"episodes were cut after {MAX_EPISODE_STEPS:,} steps, as the environment sets no "
            "limit: the environment argument max_episode_steps sets another"
        )
    return found


def _are_cut(spec: RunSpec, reports: Sequence[Report]) -> bool:
    """Whether all episodes of a report ended at the limit of environments that set none."""
    if not spec.plays or "max_episode_steps" in spec.env_options.env_args or spec.env in INFOS:
        return False
    return any(row.metrics.get(LENGTH) == MAX_EPISODE_STEPS for row in reports)


def _unfit(spec: RunSpec, summary: Summary, reported: Mapping[str, Sequence[Report]]) -> list[str]:
    """What tells that a summary is of another run."""
    wrong = []
    if (summary.metric, summary.mode) != (spec.metric, spec.mode):
        wrong.append(f"it is of {summary.metric} ({summary.mode})")
    for trial in summary.trials:
        rows = reported.get(trial.id)
        if rows and rows[-1].env_steps != trial.env_steps:
            last = f"{rows[-1].env_steps:,} in its reports"
            wrong.append(f"{trial.id} ends at {trial.env_steps:,} {clock_in_words(spec)}, {last}")
    more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
    told = "; ".join([*wrong[:SHOWN], *more])
    return [f"summary.json does not fit, as if it were another run's: {told}"] if wrong else []
