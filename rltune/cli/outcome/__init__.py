"""The end of a run, as a person reads it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from rltune.cli.outcome.landscape import landscape
from rltune.cli.outcome.seeds import arms_table, seeds
from rltune.cli.outcome.sweep import best
from rltune.cli.outcome.words import heading, interval_in_words, unscored
from rltune.reports.next_steps import next_steps
from rltune.reports.run_view import RunView
from rltune.reports.spent import cost
from rltune.reports.words import clock_in_words
from rltune.runs import commands
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary
from rltune.spec import JobSpec, RunSpec

__all__ = ["interval_in_words", "outcome", "unscored"]


def outcome(spec: RunSpec, job: JobSpec, summary: Summary) -> RenderableType:
    """What came out, with its interval, and what to type next."""
    folder = RunFolder(f"{spec.storage}/{spec.name}")
    run = RunView.of(folder, spec, job, summary)
    if summary.arms is not None:
        found = arms_table(summary, job, summary.arms)
    elif summary.across_seeds is not None:
        found = seeds(spec, summary, summary.across_seeds)
    elif summary.landscape is not None:
        found = landscape(spec, summary, summary.landscape)
    else:
        found = best(run, summary)
    if note := unscored(summary):
        found = [*found, Text(note, style="yellow")]
    return Group(
        *found,
        heading("Cost"),
        Text(f"{summary.env_steps:,} {clock_in_words(spec)} in {cost(spec, summary).sentence}"),
        Text(f"ended by: {summary.stop_reason}"),
        *_report(folder),
        heading("Next"),
        *(Text(command, no_wrap=True, overflow="ignore") for command, _ in next_steps(run)),
        *_left_out(spec),
    )


def _report(folder: RunFolder) -> list[RenderableType]:
    """Where the report is, as a link in terminals that have them."""
    path = folder.path / "report.html"
    if not path.is_file():
        return []
    place = Text(f"{folder.relative}/{path.name}", style=f"link {path.as_uri()}")
    return [heading("Report"), place]


def _left_out(spec: RunSpec) -> list[RenderableType]:
    names = ", ".join(commands.unsayable(spec))
    if not names:
        return []
    return [
        Text(
            f"{names}: no command line can hold it, give it from Python: rltune.train(..., "
            "env_args=...)"
        )
    ]
