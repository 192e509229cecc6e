"""``rltune replay RUN``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rltune.cli.opened import open_run
from rltune.cli.sweep import launch
from rltune.request.replay import replay_spec


def run(
    *, run_path: Path, json: bool, quiet: bool, dry_run: bool, trust: bool, **options: Any
) -> None:
    """Reads the champion's schedule out of a run, then trains every arm."""
    spec, job = replay_spec(open_run(run_path, trust), command=["rltune", *sys.argv[1:]], **options)
    launch(spec, job, json=json, quiet=quiet, dry_run=dry_run)
