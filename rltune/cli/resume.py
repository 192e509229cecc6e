"""``rltune resume RUN``."""

from __future__ import annotations

from pathlib import Path

from rltune.cli import console
from rltune.cli.sweep import conclude
from rltune.cli.watch import watcher
from rltune.errors import BadInput
from rltune.request import missing_secrets
from rltune.runs import RunFolder


def run(*, run_path: Path, json: bool, quiet: bool) -> None:
    """Goes on with a run; a finished one is left as it is."""
    folder = RunFolder.open(run_path)
    if missing := missing_secrets(folder.spec):
        raise BadInput(
            [f"{folder.shown} needs a secret again: export {name}=..." for name in missing]
        )
    if folder.summary is not None and not json and not quiet:
        console.output().print(f"{folder.shown} is finished: nothing is left to do")
    with watcher(json=json, quiet=quiet) as watch:
        watch.waiting("loading Ray and RLlib" if folder.summary is None else "")
        from rltune import sweeps

        sweeps.resume(folder, watch)
    conclude(folder, json)
