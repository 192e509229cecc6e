"""A run of its own for the winner: what its weights lived through, from parent to parent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from rltune.callbacks.tensorboard import curves, hparams
from rltune.callbacks.tensorboard.event_file import EventFile
from rltune.callbacks.tensorboard.texts import segment_text
from rltune.runs import lineage
from rltune.runs.folder import RunFolder
from rltune.runs.lineage import Segment
from rltune.runs.records import Report
from rltune.runs.summary_record import Summary

#: The folder, below that of the trials, whose names TensorBoard shows.
CHAMPION = "champion"


def draw(folder: RunFolder, summary: Summary) -> None:
    """Draws the champion again, from the run folder; removes what was drawn of an earlier one.

    Its x axis shows the environment steps that its weights have trained.
    """
    path = folder.path / "trials" / CHAMPION
    shutil.rmtree(path, ignore_errors=True)
    best = summary.best
    if best is None or not folder.reports(best.trial):
        return
    segments = lineage.segments(folder, best.trial, best.env_steps)
    file = EventFile(path, purge_step=0)
    for segment in segments:
        file.add_text("lineage", segment_text(segment), segment.first)
    for step, report in lived(folder, segments):
        points = curves.curves_of(report, folder.spec.space)
        file.add_scalars(points, step, max(0.0, summary.wall_seconds - report.wall_seconds))
    if summary.evaluation is not None:
        last = segments[-1].last if segments else best.env_steps
        file.add_scalars(curves.scores(summary.evaluation), last)
    if folder.spec.space:
        hparams.write_settings(path, folder.spec, best.config)


def lived(folder: RunFolder, segments: Sequence[Segment]) -> Iterator[tuple[int, Report]]:
    """Reports of the trials that held the champion's weights, by the steps these had trained."""
    for segment in segments:
        for report in folder.reports(segment.trial):
            if segment.begin < report.env_steps <= segment.end:
                yield segment.first + report.env_steps - segment.begin, report
