"""What several seeds of the same settings came to, and what schedules did beside each other."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rltune.cli.outcome.words import heading, interval_in_words, optimism
from rltune.reports.numbers import bounds, number
from rltune.reports.words import ARMS, sentence, tail_in_words, verdict_in_words
from rltune.request.batches import is_batched
from rltune.runs.summary_record import SeedStatistics, Summary
from rltune.spec import JobSpec, RunSpec


def seeds(spec: RunSpec, summary: Summary, together: SeedStatistics) -> list[RenderableType]:
    """A score a seed, and what they come to."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in (
        "trial",
        "steps",
        "seconds",
        "to threshold",
        spec.goal.words.removeprefix("mean "),
    ):
        table.add_column(name, justify="left" if name == "trial" else "right")
    for seed in summary.seeds or []:
        steps = seed.env_steps_to_threshold
        table.add_row(
            seed.trial,
            f"{seed.env_steps:,}",
            number(round(seed.train_seconds)),
            "-" if steps is None else f"{steps:,}",
            number(seed.score),
        )
    interval = interval_in_words(together.ci95, "seeds")
    shown: list[RenderableType] = [
        heading("Seeds"),
        table,
        heading("Score"),
        Text(
            f"{spec.goal.words}: IQM {number(together.iqm)}, {interval}, over {together.seeds} "
            f"seeds, {together.episodes} episodes each on seeds no training used"
        ),
    ]
    if together.threshold is not None and together.share_over_threshold is not None:
        over = round(together.share_over_threshold * together.seeds)
        shown.append(
            Text(
                f"{over} of {together.seeds} seeds are over the threshold of "
                f"{number(together.threshold)}"
            )
        )
    shown.append(Text(tail_in_words(together)))
    if is_batched(spec):
        told = "seeds trained together: seconds are those of a batch, one seed alone takes less"
        shown.append(Text(told, style="dim"))
    shown += optimism(together.optimism_gap, together.mean, together.ci95)
    if summary.certificate:
        shown.append(Text(f"written to {summary.certificate}"))
    return shown


def arms_table(
    summary: Summary, job: JobSpec, arms: Mapping[str, SeedStatistics]
) -> list[RenderableType]:
    """What each arm of a replay came to, and which is better, how surely."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("arm", "IQM", "95 % interval"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for name, arm in arms.items():
        table.add_row(ARMS.get(name, name), number(arm.iqm), bounds(arm.ci95))
    any_arm = next(iter(arms.values()))
    seeds_of = {name: arm.seeds for name, arm in arms.items()}
    over = f"{any_arm.seeds} fresh seeds an arm"
    if len({*seeds_of.values()}) > 1:
        each = ", ".join(f"{count} of {ARMS.get(n, n)}" for n, count in seeds_of.items())
        over = f"fresh seeds with a score ({each})"
    return [
        heading("Schedule or luck"),
        table,
        Text(
            f"over {over}, {any_arm.env_steps:,} steps and "
            + (
                f"{any_arm.episodes} episodes each"
                if any_arm.episodes
                else "the last report of each"
            )
        ),
        *(Text(sentence(comparison)) for comparison in summary.comparisons or []),
        Text(verdict_in_words(summary, job) or "", style="bold"),
    ]
