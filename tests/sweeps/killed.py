"""Sweeps of functions in processes of their own, beside copies of them as a kill leaves them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import warm
from conftest import environment

from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.runs.state_file import StateFile
from rltune.spec import RunSpec


@contextmanager
def copied(copy: Path, when: Callable[[Mapping[str, Any]], bool]) -> Iterator[None]:
    """Copies a run folder as a kill would leave it, once a state is written that is asked for."""
    write = StateFile.write

    def write_and_copy(file: StateFile, state: Mapping[str, Any]) -> None:
        write(file, state)
        if not copy.exists() and when(state):
            shutil.copytree(file.folder, copy)

    with mock.patch.object(StateFile, "write", write_and_copy):
        yield


def cut_of(folder: RunFolder) -> RunFolder:
    """The copy of a sweep."""
    return RunFolder(folder.path.with_name("cut"))


def work(spec: RunSpec, changes: dict[str, Any], variables: dict[str, str], cut: int) -> None:
    """Runs or resumes a sweep, or extends it where there are changes, and continues its copy."""
    from rltune.sweeps import runner

    os.environ.update(variables)
    folder, written = RunFolder(Path(spec.storage) / spec.name), count(1)
    copy = cut_of(folder).path
    with copied(copy, lambda _: next(written) == cut):
        if changes:
            runner.extend(RunFolder.open(folder.path), changes)
        elif folder.has("run.json"):
            runner.resume(RunFolder.open(folder.path))
        else:
            runner.run(spec)
    if cut:
        assert RunFolder(copy).summary is None
        runner.resume(RunFolder.open(copy))


def start(spec: RunSpec, cut: int = 0, fails: bool = False, **changes: Any) -> RunFolder:
    """The folder after a process has worked on it.

    Args:
        fails: whether the sweep ends with an error.
        cut: the write of the state at which it is copied, from 1 on; 0 for no copy.
        changes: by which a sweep is extended that has run already.
    """
    process = warm.server().Process(target=work, args=(spec, changes, environment(), cut))
    process.start()
    process.join(120)
    process.kill()
    process.join()
    assert process.exitcode == int(fails)
    return RunFolder(Path(spec.storage) / spec.name)


def told(folder: RunFolder) -> dict[str, Any]:
    """What a sweep came to, wall times aside."""
    saved, summary = state_file.read(folder.path), folder.summary
    assert saved is not None
    assert summary is not None
    reports = {
        name: [(row.env_steps, row.measured, dict(row.settings)) for row in folder.reports(name)]
        for name in folder.trials()
    }
    parts = without_seconds(saved["parts"])
    decided = {"decisions": folder.decisions(), "reports": reports, "parts": parts}
    return {**decided, "best": summary.best}


def without_seconds(value: Any) -> Any:
    """A state without the times that its trials took."""
    if isinstance(value, list):
        return [without_seconds(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: without_seconds(each) for name, each in value.items() if name != "seconds"}
