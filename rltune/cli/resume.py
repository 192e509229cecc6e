"""``rltune resume RUN``."""

from __future__ import annotations

from pathlib import Path

from rltune.cli import console
from rltune.cli.live import watcher
from rltune.cli.opened import open_run
from rltune.cli.sweep import conclude
from rltune.runs.folder import RunFolder, is_finished
from rltune.tasks.resume import check_resumable


def run(
    *,
    run_path: Path,
    json: bool,
    quiet: bool,
    force: bool,
    trust: bool,
    callbacks: list[str],
    address: str | None,
) -> None:
    """Resumes a run; a finished one stays unchanged.

    Args:
        callbacks: notified of this part of the run, beside the run's own.
        address: of the cluster it continues on; None for the run's own.
    """
    folder = RunFolder.open(run_path)
    finished = is_finished(folder)
    if not finished:
        open_run(run_path, trust, resumes=True)
        check_resumable(folder, force)
    elif not json and not quiet:
        console.output().print(f"{folder.shown} is finished: nothing is left to do")
    with watcher(json=json, quiet=quiet) as watch:
        watch.waiting("" if finished else "loading Ray and RLlib")
        from rltune.sweeps import runner

        runner.resume(folder, [watch, *callbacks], force, address)
    conclude(folder, json)
