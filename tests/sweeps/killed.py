"""Sweeps of functions in processes of their own, which may be killed on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import warm
from conftest import environment

from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec


def work(spec: RunSpec, changes: dict[str, Any], variables: dict[str, str], die: int) -> None:
    """Runs a sweep, extends it where there are changes, resumes it otherwise; may be killed."""
    from rltune.sweeps import runner

    os.environ.update(variables)
    write, written = state_file.write, 0

    def write_and_die(*args: Any) -> None:
        nonlocal written
        write(*args)
        written += 1
        if written == die:
            os._exit(9)

    state_file.write = write_and_die
    path = Path(spec.storage) / spec.name
    if not path.exists():
        runner.run(spec)
    elif changes:
        runner.extend(RunFolder.open(path), changes)
    else:
        runner.resume(RunFolder.open(path))


def start(spec: RunSpec, die: int = 0, **changes: Any) -> RunFolder:
    """The folder after a process has worked on it."""
    process = warm.server().Process(target=work, args=(spec, changes, environment(), die))
    process.start()
    process.join(90)
    process.kill()
    process.join()
    assert process.exitcode == (9 if die else 0)
    return RunFolder(Path(spec.storage) / spec.name)


def told(folder: RunFolder) -> dict[str, Any]:
    """What a sweep came to, wall times aside."""
    saved = state_file.read(folder.path)
    assert saved is not None
    reports = {
        name: [(row.env_steps, row.measured, dict(row.settings)) for row in folder.reports(name)]
        for name in folder.trials()
    }
    return {"decisions": folder.decisions(), "reports": reports, "parts": saved["parts"]}
