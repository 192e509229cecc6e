"""How well the end of a sweep is predicted: replays the histories of run folders.

    python scripts/bench_prediction.py RUN...

Each run must have been run in one go by this version, so that phases.jsonl says when it ended. At
each share of its real duration, from "starting" to "ended", the prediction is made from what was
known then. Prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rltune.live.prediction import Outlook
from rltune.live.progress import Progress
from rltune.runs.folder import RunFolder

SHARES = (0.25, 0.5, 0.75)


def predicted(folder: RunFolder, seconds: float) -> Outlook:
    """The outlook of a sweep as it was at a second of it."""
    progress = Progress(folder.spec, folder.job)
    rows = [row for trial in folder.trials() for row in folder.reports(trial)]
    rows = [row for row in rows if row.wall_seconds <= seconds]
    for row in sorted(rows, key=lambda row: row.wall_seconds):
        progress.reported(row)
    for decision in folder.decisions():
        member = progress.members.get(decision.trial)
        if member and member.rows and member.last.env_steps >= decision.env_steps:
            progress.decided(decision)
    return progress.outlook()


def line(folder: RunFolder) -> str:
    """A row of the table: the run, its duration, and for each share both predictions."""
    phases = folder.phases()
    starts = [phase.time for phase in phases if phase.name == "starting"]
    assert len(starts) == 1, "the run was resumed"
    assert phases[-1].name == "ended", "the run has not ended"
    duration = phases[-1].time - starts[0]
    summary, spec = folder.summary, folder.spec
    assert summary is not None
    cells = [folder.path.name, spec.budget.scheduler, str(len(summary.trials)), f"{duration:.0f}"]
    for share in SHARES:
        outlook = predicted(folder, share * duration)
        likely, most = outlook.likely, outlook.at_most
        cells.append("-" if likely is None else f"{100 * (likely / duration - 1):+.0f} %")
        cells.append("-" if most is None else f"{100 * (most / duration - 1):+.0f} %")
    return f"| {' | '.join(cells)} |"


def main(paths: Sequence[str]) -> None:
    """Prints the table."""
    heads = ["run", "scheduler", "trials", "seconds"]
    for share in SHARES:
        heads += [f"likely at {share:.0%}", f"at most at {share:.0%}"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for path in paths:
        print(line(RunFolder.open(path)))


if __name__ == "__main__":
    main(sys.argv[1:])
