"""``rltune extend RUN``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rltune.cli import console, request_view
from rltune.cli.live import watcher
from rltune.cli.opened import open_run
from rltune.cli.sweep import conclude
from rltune.sweeps.extension import extended


def run(
    *,
    run_path: Path,
    json: bool,
    quiet: bool,
    dry_run: bool,
    trust: bool,
    callbacks: list[str],
    **options: Any,
) -> None:
    """Checks what is asked for, then continues the run.

    Args:
        callbacks: notified of this part of the run, beside the run's own.
    """
    folder = open_run(run_path, trust, resumes=True)
    changes = {name: value for name, value in options.items() if value is not None}
    spec = extended(folder, changes)
    if dry_run and not json:
        request_view.show(spec, folder.job, request_view.start_rows(spec, folder.job))
        return
    if dry_run:
        console.print_json({**spec.to_dict(), **folder.job.to_dict()})
        return
    with watcher(json=json, quiet=quiet) as watch:
        watch.waiting("loading Ray and RLlib")
        from rltune.sweeps import runner

        folder = runner.extend(folder, changes, [watch, *callbacks])
    conclude(folder, json)
